-- Lists maps.

local list = {
  name = "list",
  summary = "List the eBPF maps of the programs that bpfd has loaded",
  options = {},
  operands = {
    {
      name = "program_id", kind = "integer", minimum = 1, maximum = 4294967295,
      text = "List the maps of this program, those that it shares included",
    },
  },
  draws = "maps",
}

function list.run(session, arguments)
  local result, err = session:call("map.list", {
    program_id = arguments.program_id and arguments.program_id[1],
  })
  if not result then return nil, err end
  table.sort(result.maps, function(left, right) return left.id < right.id end)
  return result.maps
end

--- With -q.
function list.brief(maps)
  local lines = {}
  for i, map in ipairs(maps) do lines[i] = map.id .. "\n" end
  return table.concat(lines)
end

return list
