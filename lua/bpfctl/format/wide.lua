-- The table with all that a line can hold. On a terminal long cells are folded to fit its width;
-- elsewhere each program has one line. Kinds that have nothing wider are the table's.

local columns_of = require "bpfctl.format.columns"
local local_time = require "bpfctl.format.time"
local narrow = require "bpfctl.format.table"
local printable = require "bpfctl.printable"

local titles <const> = {
  "Program ID", "Name", "Type", "Load Time", "Attached To", "Priority", "Position", "Metadata",
  "Loaded From",
}
local folded <const> = { 5, 8, 9 }

local function shown(value) return value == nil and "" or printable(tostring(value)) end

-- Where a program runs, as far as it is known.
local function place(attach)
  if attach.iface then
    return attach.direction and attach.iface .. " " .. attach.direction or attach.iface
  end
  local at <const> = attach.tracepoint or attach.fn_name or ""
  local offset <const> = (attach.offset or 0) ~= 0 and ("+0x%x"):format(attach.offset) or ""
  return (attach.target and attach.target .. ":" or "") .. at .. offset
end

local function assignments(metadata)
  local list = {}
  for key, value in pairs(metadata or {}) do list[#list + 1] = key .. "=" .. tostring(value) end
  table.sort(list)
  return table.concat(list, ", ")
end

local function programs(list, style)
  local rows = {}
  for i, program in ipairs(list) do
    local attach <const> = program.attach or {}
    rows[i] = {
      shown(program.id), shown(program.name), shown(program.type),
      program.loaded_at and local_time(program.loaded_at) or "", shown(place(attach)),
      shown(attach.priority), shown(attach.position), shown(assignments(program.metadata)),
      shown(program.image_url or program.path),
    }
  end
  return columns_of(titles, rows, { width = style.width, folded = folded })
end

return setmetatable({ programs = programs }, { __index = narrow })
