-- The daemon among the machine's services: the privilege it gives up, the sockets it is given, and
-- what it tells who started it.

local core = require "bpf.core"
local uv = require "luv"
local log = require "bpfd.log"
local loop = require "bpfd.loop"

local service = {}

-- bpf, perfmon and net_admin load and attach; sys_admin opens by id, mounts the bpffs and enters
-- namespaces; sys_ptrace looks into containers (container_pid); syslog reads kernel addresses;
-- chown and fowner give sockets and pinned maps to groups; sys_resource is for descriptors.
local kept <const> = {
  "bpf", "perfmon", "net_admin", "sys_admin", "sys_ptrace", "syslog", "chown", "fowner",
  "sys_resource",
}

-- Nice values. The loop's work is short, and everybody waits for it, as 64 clients at once do for a
-- `list`; jobs have the processors to themselves when it sleeps.
local LOOP <const>, WORK <const>, USUAL <const> = -10, 5, 0

--- The loop goes before other processes. Where that is not allowed, it goes among them.
function service.go_before() uv.os_setpriority(0, LOOP) end

--- What a child does goes behind the loop.
function service.go_behind() uv.os_setpriority(0, WORK) end

--- A child that somebody waits for, but whose code is not ours, goes among other processes.
function service.go_among() uv.os_setpriority(0, USUAL) end

--- Gives up, for good and for all children, what a manager of eBPF programs needs at no time:
--- other capabilities, gaining new ones, other programs and other processes' memory.
---@return { capabilities: string[], refused_calls: integer }? kept, bpf.error? err
function service.confine()
  local left, err = core.service.keep_capabilities(kept)
  if not left then return nil, err end
  local count
  count, err = core.service.refuse_calls()
  if not count then log.warning("%s", tostring(err)) end
  log.info("capabilities kept: %s; none can be gained; %d system calls are refused",
    table.concat(left, ", "), count or 0)
  return { capabilities = left, refused_calls = count or 0 }
end

--- The listening sockets that a service manager has opened for us, by path. To be asked once.
---@return table<string, table>
function service.sockets()
  local found = {}
  for _, number in ipairs(core.service.listeners()) do
    local socket, err = core.socket.adopt(number)
    local path
    if socket then path, err = socket:path() end
    if path and path ~= "" then
      found[path] = socket
    else
      log.warning("a socket that bpfd was started with is of no use: %s",
        err and tostring(err) or "it has no path")
      if socket then socket:close() end
    end
  end
  return found
end

local function tell(state)
  local good, err = core.service.notify(state)
  if not good then log.warning("%s", tostring(err)) end
end

--- Requests are answered from now on; and as long as the loop turns, the watchdog hears of it.
function service.ready()
  tell "READY=1"
  local seconds <const> = core.service.watchdog()
  if seconds then loop.after(seconds / 2, function() tell "WATCHDOG=1" end, true) end
end

function service.stopping() tell "STOPPING=1" end

return service
