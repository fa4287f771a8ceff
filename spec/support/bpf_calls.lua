-- Counts the bpf(2) calls of a daemon's jobs, by command: how many swaps a change has cost.
local bpf = require "bpf"

local bpf_calls = {}
bpf_calls.__index = bpf_calls

local BUILD <const> = os.getenv "BUILD" or "build"
local numbers <const> = { link_create = 28, link_update = 29, link_detach = 34 }

---@param pid integer  of the daemon
function bpf_calls.of_children(pid)
  local object = assert(bpf.object.open(BUILD .. "/objects/count_bpf_calls.o"))
  assert(object:set_global("PARENT", string.pack("=i4", pid)))
  assert(object:load())
  local link = assert(bpf.link.tracepoint(object.programs.count_calls,
    { category = "syscalls", name = "sys_enter_bpf" }))
  return setmetatable({ object = object, link = link }, bpf_calls)
end

---@param command "link_create"|"link_update"|"link_detach"
---@return integer
function bpf_calls:count(command)
  local value = assert(self.object.maps.calls:lookup(string.pack("=I4", numbers[command])))
  return (string.unpack("=I8", value))
end

function bpf_calls:close()
  self.link:close()
  self.object:close()
end
bpf_calls.__close = bpf_calls.close

return bpf_calls
