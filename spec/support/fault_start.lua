-- What the walks of starts share.
local core = require "bpf.core"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

local fault_start = {}

---Starts the daemon. One that cannot start says so and ends.
---@param self table  of spec.support.fault_walk
---@return any result, string? why
function fault_start.run(self)
  local served <const> = self.served
  local good, failure = pcall(served.restart, served)
  if not good then return nil, failure end
  local result, err
  good, result, err = pcall(rpc.call, served, "program.list")
  if good then return result, err end
  -- it has listened, and may be about to end
  process.eventually(function() return not served.process:alive() end, 1000)
  return nil, result
end

---A database that could not be read is set aside, and told of; what is in force is known without.
---@param self table
function fault_start.remove_set_aside(self)
  for _, name in ipairs(assert(core.system.list(self.served.state_dir))) do
    if name:find "^bpfd%.db%.broken%-" then os.remove(self.served.state_dir .. "/" .. name) end
  end
end

return fault_start
