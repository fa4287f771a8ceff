-- Lists programs.

local program_types = require "bpf.program_types"
local shared = require "bpfctl.shared_options"

local list = {
  name = "list",
  summary = "List the eBPF programs that bpfd has loaded",
  options = {
    {
      name = "all", short = "a", kind = "flag",
      text = "List every eBPF program of the system",
    },
    {
      name = "program_type", short = "p", kind = "choice", repeated = true,
      values = program_types.names,
      text = "List programs of this type. May be given again.\n"
        .. "Example: --program-type tc",
    },
    shared.metadata_selector, shared.selector,
  },
  draws = "programs",
}

function list.run(session, arguments)
  local result, err = session:call("program.list", {
    all = arguments.all,
    program_type = arguments.program_type,
    metadata = arguments.metadata_selector,
    selector = arguments.selector,
  })
  if not result then return nil, err end
  table.sort(result.programs, function(left, right) return left.id < right.id end)
  return result.programs
end

--- With -q.
function list.brief(programs)
  local lines = {}
  for i, program in ipairs(programs) do lines[i] = program.id .. "\n" end
  return table.concat(lines)
end

return list
