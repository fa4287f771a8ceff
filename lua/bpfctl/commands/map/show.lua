-- Shows the entries of a map.

local maps = require "bpfctl.maps"

local show = {
  name = "show",
  summary = "Show the entries of a map",
  options = { maps.key_format, maps.value_format },
  operands = { maps.operand },
  draws = "entries",
}

---@return { typed: bpf.typed_map }? data
---@return bpf.error?
function show.run(session, arguments)
  local typed, err = maps.open_typed(session, arguments, "r")
  if not typed then return nil, err end
  return { typed = typed }
end

function show.plain(data)
  return maps.plain(require("bpfctl.format.json").entries(data))
end

return show
