-- JSON on one line, in the vocabulary's order, for every kind of data.

local json = require "bpf.json"
local maps = require "bpfctl.maps"
local valid = require "bpfctl.format.valid"

local function draw(data)
  return valid(json.encode(data, { sorted = true })) .. "\n"
end

-- Entries come by the hundred thousand: their texts are made straight from the bytes.
local function draw_entries(data)
  local texts = {}
  for text in data.typed:json_entries() do texts[#texts + 1] = text end
  if texts[1] then texts[1] = texts[1]:sub(2) end
  return "[" .. table.concat(texts) .. "]\n"
end

local function draw_entry(data)
  return maps.json_entry(data.typed)(data.key, data.value) .. "\n"
end

local function draw_change(change) return change.json .. "\n" end

return {
  any = draw, nulls = true, entries = draw_entries, entry = draw_entry, change = draw_change,
}
