-- Declarations: a Lua file of `program "label" { ... }`, as it is written and as it travels.

local attach_check = require "bpf.attach"
local error_object = require "bpf.error"
local field = require "bpf.field"
local nearest = require "bpf.nearest"
local sandbox = require "bpf.sandbox"
local sorted_keys = require "bpf.sorted_keys"

local declaration = {}

local INSTRUCTIONS <const> = 10000000

local LONGEST_PATTERN <const> = 64 -- names of interfaces have 15 letters at most

--- Programs that one declaration may have.
declaration.most = 1024

---@class bpf.declared_program
---@field label string        unique in its file
---@field line integer?       where it stands there
---@field name string?        of the function; an image may know it
---@field path string?        of the object file
---@field image_url string?
---@field pull_policy string?
---@field registry_auth string?
---@field global table<string, string>
---@field metadata table<string, string>
---@field map_owner string?   label of the program whose maps it shares
---@field persist boolean
---@field attach table        checked; `iface` may be a pattern
---@field fd integer?         on the wire: the place of the object file's descriptor

local function check_text(longest)
  return function(value)
    if type(value) ~= "string" then return "must be a text" end
    if value == "" or #value > longest or value:find "%c" then
      return ("must be a text of 1 to %d letters"):format(longest)
    end
  end
end

local function check_texts(value)
  if type(value) ~= "table" then return "must be a table of texts" end
  for key, text in pairs(value) do
    if type(key) ~= "string" or type(text) ~= "string" then
      return ("must be a table of texts; %s is not"):format(tostring(key))
    end
  end
  return nil
end

local function check_values(value)
  local why <const> = check_texts(value)
  if why then return why end
  for name, text in pairs(value) do
    local bytes, err = require("bpf.global").parse(text)
    if not bytes then return ("%s: %s"):format(name, err.message) end
  end
  return nil
end

local function check_flag(value)
  if type(value) ~= "boolean" then return "must be true or false" end
end

local function check_function(value)
  if type(value) ~= "string" or value == "" or value:find "[%z/]" then
    return "must be the name of a function in the object"
  end
end

local pull_policies <const> = { "Always", "IfNotPresent", "Never" }

local function check_pull_policy(value)
  if not field.is_one_of(value, pull_policies) then return field.unknown(value, pull_policies) end
end

local function check_place(value)
  if math.type(value) ~= "integer" or value < 0 then return "must be a whole number" end
end

-- What is written in a file, and what is told beside it on the wire.
local checks <const> = {
  name = check_function, path = check_text(4095), image_url = check_text(4095),
  pull_policy = check_pull_policy, registry_auth = check_text(65535), global = check_values,
  metadata = check_texts, map_owner = check_text(128), persist = check_flag,
  attach = function() end,
}
local wire_checks <const> = { label = check_text(128), line = check_place, fd = check_place }

--- Whether a name of an interface stands for several.
---@param iface string?
---@return boolean
function declaration.is_pattern(iface)
  return iface ~= nil and iface:find "[*?]" ~= nil
end

--- Whether an interface is one of those that a name or a pattern stands for. Only the last star is
--- ever gone back to, so that no pattern takes long.
---@param pattern string
---@param iface string
---@return boolean
function declaration.matches(pattern, iface)
  local at, in_pattern, star, resumed = 1, 1, nil, nil
  while at <= #iface do
    local wanted <const> = pattern:sub(in_pattern, in_pattern)
    if wanted == "*" then
      star, resumed, in_pattern = in_pattern, at, in_pattern + 1
    elseif wanted == "?" or wanted == iface:sub(at, at) then
      at, in_pattern = at + 1, in_pattern + 1
    elseif star then
      resumed = resumed + 1
      at, in_pattern = resumed, star + 1
    else
      return false
    end
  end
  return pattern:find("^%**$", in_pattern) ~= nil
end

local function check_source(entry, on_the_wire)
  local sources = 0
  for _, key in ipairs { "path", "image_url", on_the_wire and "fd" or nil } do
    if entry[key] ~= nil then sources = sources + 1 end
  end
  if sources > 1 then return "has path and image_url, and needs one of them" end
  if sources == 0 then return "needs a path or an image_url" end
  if entry.image_url then return nil end
  if not entry.name then return "needs the name of a function in the object" end
  for _, key in ipairs { "pull_policy", "registry_auth" } do
    if entry[key] then return key .. " belongs to image_url" end
  end
  return nil
end

local function check_keys(entry, on_the_wire)
  for key, value in pairs(entry) do
    local check <const> = checks[key] or on_the_wire and wire_checks[key]
    if not check then
      return ("there is no key %s; did you mean %s?"):format(tostring(key),
        nearest(tostring(key), sorted_keys(checks)))
    end
    local why <const> = check(value)
    if why then return ("%s %s"):format(key, why) end
  end
  return nil
end

local function check_attach(attach, on_the_wire)
  if type(attach) ~= "table" then return nil, "needs attach = { type = ... }" end
  if not on_the_wire and (attach.target_fd or attach.netns_fd) then
    return nil, "names files by path, not by descriptor"
  end
  local checked, err = attach_check.check(attach)
  if not checked then return nil, err.message end
  if #(checked.iface or "") > LONGEST_PATTERN then
    return nil, ("iface has more than %d letters"):format(LONGEST_PATTERN)
  end
  if declaration.is_pattern(checked.iface) and (checked.netns or checked.netns_fd) then
    return nil, ("iface %s: a pattern follows the interfaces of bpfd's own namespace only"):format(
      checked.iface)
  end
  return checked
end

-- A checked copy, complete with defaults; or what is wrong.
local function check_entry(entry, on_the_wire)
  local why = check_keys(entry, on_the_wire) or check_source(entry, on_the_wire)
  if why then return nil, why end
  local checked = {}
  for key, value in pairs(entry) do checked[key] = value end
  checked.attach, why = check_attach(entry.attach, on_the_wire)
  if not checked.attach then return nil, why end
  checked.global, checked.metadata = entry.global or {}, entry.metadata or {}
  checked.persist = entry.persist == true
  return checked
end

local function check_owner(entry, by_label)
  if not entry.map_owner then return nil end
  local owner <const> = by_label[entry.map_owner]
  if entry.map_owner == entry.label then return "map_owner is the program itself" end
  if not owner then
    return ('map_owner: there is no program "%s"; did you mean "%s"?'):format(entry.map_owner,
      nearest(entry.map_owner, sorted_keys(by_label)))
  end
  if owner.map_owner then
    return ('map_owner: "%s" has no maps of its own; use "%s"'):format(owner.label,
      owner.map_owner)
  end
  return nil
end

--- Where an entry stands and what it is called, for messages.
---@param name string  of the declaration
---@param entry { label: string, line: integer? }
---@return string
function declaration.place(name, entry)
  local line <const> = entry.line and (":%d"):format(entry.line) or ""
  return ('%s%s: program "%s"'):format(name, line, entry.label)
end

local function wrong(name, entry, why)
  return nil, error_object.new { code = "EINVAL",
    message = ("%s: %s"):format(declaration.place(name, entry), why) }
end

--- Checks all entries, each for itself and against the others.
---@param name string
---@param entries table[]  as they were written, with label and line
---@param options { wire: boolean }?  wire: as they came with a request
---@return bpf.declared_program[]? programs, bpf.error? err
function declaration.check(name, entries, options)
  local on_the_wire <const> = options and options.wire
  if #entries > declaration.most then
    return nil, error_object.new { code = "E2BIG", message = ("%s has %d programs, more than %d")
      :format(name, #entries, declaration.most) }
  end
  local programs, by_label = {}, {}
  for i, entry in ipairs(entries) do
    local known <const> = by_label[entry.label]
    if known then
      return wrong(name, entry, "there is one of this label already"
        .. (known.line and (", in line %d"):format(known.line) or ""))
    end
    local written = {}
    for key, value in pairs(entry) do written[key] = value end
    if not on_the_wire then written.label, written.line = nil, nil end
    local checked, why = check_entry(written, on_the_wire)
    if not checked then return wrong(name, entry, why) end
    checked.label, checked.line = entry.label, entry.line
    programs[i], by_label[entry.label] = checked, checked
  end
  for _, entry in ipairs(programs) do
    local why <const> = check_owner(entry, by_label)
    if why then return wrong(name, entry, why) end
  end
  return programs
end

-- What a file sees as `program`: the label and the table come in two calls.
local function collector(entries)
  return function(label)
    local entry = { line = debug.getinfo(2, "l").currentline }
    local why <const> = wire_checks.label(label)
    if why then error("a program's label " .. why, 2) end
    entry.label = label
    table.insert(entries, entry)
    return function(fields)
      if entry.fields then error(('program "%s" has two tables'):format(label), 2) end
      if type(fields) ~= "table" then
        error(('program "%s" must be followed by a table, not %s'):format(label, type(fields)), 2)
      end
      entry.fields = fields
    end
  end
end

local function flatten(name, entries)
  local flat = {}
  for i, entry in ipairs(entries) do
    if not entry.fields then return wrong(name, entry, "needs a table behind its label") end
    flat[i] = {}
    for key, value in pairs(entry.fields) do
      if key == "label" or key == "line" then
        return wrong(name, entry, ("there is no key %s"):format(key))
      end
      flat[i][key] = value
    end
    flat[i].label, flat[i].line = entry.label, entry.line
  end
  return flat
end

--- Runs a declaration's text; it sees `program`, string, table and math.
---@param text string
---@param name string   of the file, as messages are to call it
---@return bpf.declared_program[]? programs, bpf.error? err
function declaration.read(text, name)
  local entries = {}
  local _, err = sandbox.run_text(text, name, {
    instructions = INSTRUCTIONS, environment = { program = collector(entries) },
  })
  if err then return nil, err end
  local flat
  flat, err = flatten(name, entries)
  if not flat then return nil, err end
  return declaration.check(name, flat)
end

return declaration
