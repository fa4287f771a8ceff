-- Maps and their entries, as people read them.

local columns_of = require "bpfctl.format.columns"
local printable = require "bpfctl.printable"
local shown = require("bpfctl.format.section").shown

local draw = {}

local map_columns <const> = {
  "Map ID", "Name", "Type", "Key (bytes)", "Value (bytes)", "Max Entries", "Program ID",
}

--- `map list`.
function draw.maps(maps)
  local rows = {}
  for i, map in ipairs(maps) do
    rows[i] = {
      shown(map.id), printable(map.name or ""), shown(map.type), shown(map.key_size),
      shown(map.value_size), shown(map.max_entries), shown(map.map_owner_id),
    }
  end
  return columns_of(map_columns, rows)
end

--- `map show`, with values as `map set` takes them.
function draw.entries(data)
  local key_of, value_of = data.typed:drawings "literal"
  local rows = {}
  for key, value in data.typed.map:pairs() do
    rows[#rows + 1] = { printable(key_of(key, 0)), printable(value_of(value, 0)) }
  end
  return columns_of({ "Key", data.typed:is_per_cpu() and "Values" or "Value" }, rows)
end

--- `map get`.
function draw.entry(data)
  local _, value_of = data.typed:drawings "literal"
  return printable(value_of(data.value, 0)) .. "\n"
end

--- A line of `map watch`.
function draw.change(change) return printable(change.text) .. "\n" end

return draw
