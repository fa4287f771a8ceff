-- A program that runs against the one that is wanted in its place.

local attach_check = require "bpf.attach"
local global = require "bpf.global"

local program_difference = {}

local is_chained <const> = { xdp = true, tc = true }
local is_place <const> = { iface = true, netns = true }
local in_place <const> = { priority = true, proceed_on = true }

local function is_same(left, right)
  if type(left) ~= "table" or type(right) ~= "table" then return left == right end
  for name, value in pairs(left) do
    if not is_same(value, right[name]) then return false end
  end
  for name in pairs(right) do
    if left[name] == nil then return false end
  end
  return true
end

-- The kernel's bytes, however they were written.
local function has_globals(wanted, bytes_of)
  for name, text in pairs(wanted) do
    local hex <const> = bytes_of[name]
    local bytes = hex and global.fit(text, #hex // 2)
    if not bytes or bytes:gsub(".", function(c) return ("%02X"):format(c:byte()) end) ~= hex then
      return false
    end
  end
  for name in pairs(bytes_of) do
    if wanted[name] == nil then return false end
  end
  return true
end

--- What was asked for, before policies amended it.
---@param note table
---@return { attach: table, metadata: table }
function program_difference.as_asked(note)
  local asked = { attach = {}, metadata = {} }
  for part, copy in pairs(asked) do
    for name, value in pairs(note[part] or {}) do copy[name] = value end
  end
  for at = #(note.amended or {}), 1, -1 do
    local change <const> = note.amended[at]
    local part, name = tostring(change.field):match "^(%w+)%.(.*)$"
    if asked[part] then asked[part][name] = change.from end
  end
  return asked
end

local function shown(value)
  if type(value) == "table" then return table.concat(value, "+") end
  return tostring(value)
end

local function compare_attach(wanted, attach, reasons)
  local only_in_place = true
  for _, description in ipairs(attach_check.types[attach.type]) do
    local name <const> = description.name
    if not is_place[name] and description.kind ~= "descriptor"
        and not is_same(wanted[name], attach[name]) then
      only_in_place = only_in_place and in_place[name] == true
      reasons[#reasons + 1] = ("%s %s -> %s"):format(name, shown(attach[name]),
        shown(wanted[name]))
    end
  end
  return only_in_place
end

--- What of a program is not as it is wanted, in words; and whether a swap alone can make it so.
---@param wanted bpfd.instance
---@param note table
---@return string[] reasons, boolean in_place
function program_difference.reasons(wanted, note)
  local asked <const>, reasons = program_difference.as_asked(note), {}
  if wanted.digest ~= note.digest then reasons[#reasons + 1] = "another object" end
  if wanted.name ~= note.name then
    reasons[#reasons + 1] = ("name %s -> %s"):format(note.name, wanted.name)
  end
  if not has_globals(wanted.global, note.global or {}) then reasons[#reasons + 1] = "globals" end
  if not is_same(wanted.metadata, asked.metadata) then reasons[#reasons + 1] = "metadata" end
  if wanted.persist ~= (note.persist == true) then reasons[#reasons + 1] = "persist" end
  if wanted.attach.type ~= note.type then
    reasons[#reasons + 1] = ("type %s -> %s"):format(note.type, wanted.attach.type)
    return reasons, false
  end
  local reload <const> = #reasons > 0
  local only_in_place <const> = compare_attach(wanted.attach, asked.attach, reasons)
  return reasons, #reasons > 0 and not reload and only_in_place and is_chained[note.type] == true
end

return program_difference
