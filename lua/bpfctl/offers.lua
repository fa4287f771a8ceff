-- Values that completion offers for options and operands, as far as this machine knows them.

local system = require("bpf.core").system

local offers = {}

local patience <const> = 2 -- seconds that a daemon has for its answer

--- Interfaces of this network namespace.
---@return string[]
function offers.interfaces()
  local names <const> = system.list "/sys/class/net" or {}
  table.sort(names)
  return names
end

--- Ids of the programs that bpfd has loaded, with what they are.
---@param session bpfctl.session
---@return { [1]: string, [2]: string }[]
function offers.program_ids(session)
  local result <const> = session:call("program.list", {}, { timeout = patience })
  local found = {}
  for i, program in ipairs(result and result.programs or {}) do
    found[i] = { tostring(program.id), ("%s, %s"):format(program.name, program.type) }
  end
  return found
end

return offers
