-- Lists maps.

local list = {
  name = "list",
  summary = "List the eBPF maps of the programs that bpfd has loaded",
  options = {
    {
      name = "all", short = "a", kind = "flag",
      text = "List every map of the system, which wants root",
    },
  },
  operands = {
    {
      name = "program_id", kind = "integer", minimum = 1, maximum = 4294967295,
      text = "List the maps of this program, those that it shares included",
    },
  },
  draws = "maps",
  validate = function(values)
    if values.all and values.program_id then return "--all and a program exclude each other" end
  end,
}

-- Those that nobody else can tell of: bpfd knows whose maps its own are.
local function add_others(known)
  local map <const> = require "bpf.map"
  local has = {}
  for _, one in ipairs(known) do has[one.id] = true end
  for id in map.each() do
    local opened <close> = not has[id] and map.open_id(id, "r") or nil
    known[#known + 1] = opened and opened:info()
  end
end

function list.run(session, arguments)
  local result, err = session:call("map.list", {
    program_id = arguments.program_id and arguments.program_id[1],
  })
  if not result and not (arguments.all and session.exit) then return nil, err end
  result = result or { maps = {} }
  if arguments.all then
    local ok, failure = pcall(add_others, result.maps)
    if not ok then return nil, failure end
    session.exit = nil
  end
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
