-- What the walks of starts share.
local core = require "bpf.core"
local rpc = require "spec.support.rpc"

local fault_start = {}

---Starts the daemon. One that cannot start says so and ends.
---@param self table  of spec.support.fault_walk
---@return any result, string? why
function fault_start.run(self)
  local good, failure = pcall(self.served.restart, self.served)
  if not good then return nil, failure end
  return rpc.call(self.served, "program.list")
end

---A database that could not be read is set aside, and told of; what is in force is known without.
---@param self table
function fault_start.remove_set_aside(self)
  for _, name in ipairs(assert(core.system.list(self.served.state_dir))) do
    if name:find "^bpfd%.db%.broken%-" then os.remove(self.served.state_dir .. "/" .. name) end
  end
end

return fault_start
