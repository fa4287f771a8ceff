-- Questions to the kernel from inside a network namespace: this process enters it and comes back.
local core = require "bpf.core"
local network = require "bpf.network"

local network_job = {}

---@param namespace table  of spec.support.namespace
---@param ask fun(): any
function network_job.run(namespace, ask)
  local home <close> = assert(core.system.open "/proc/self/ns/net")
  local there <close> = assert(core.system.open(namespace.path))
  assert(network.enter(there:fd()))
  local result = table.pack(pcall(ask))
  assert(network.enter(home:fd()))
  assert(result[1], result[2])
  return table.unpack(result, 2, result.n)
end

return network_job
