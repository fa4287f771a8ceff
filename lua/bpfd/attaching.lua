-- Attaching what is not a member of a chain, in a job: one link for each program.

local bpf = require "bpf"
local library = require "bpf.library"

local attaching = {}

local attach_of = {}

function attach_of.tracepoint(program, attach)
  local category, name = attach.tracepoint:match "^([^/]+)/([^/]+)$"
  return bpf.link.tracepoint(program, { category = category, name = name })
end

function attach_of.kprobe(program, attach)
  return bpf.link.kprobe(program, {
    fn_name = attach.fn_name, offset = attach.offset, retprobe = attach.retprobe,
  })
end

-- The file that was opened by the client or, in a container, the one that its processes see.
local function target_path(attach, plan)
  if plan.target then return "/proc/self/fd/" .. plan.target:fd() end
  if not attach.container_pid then return library.find(attach.target) end
  local path, err = library.find(attach.target)
  if not path then return nil, err end
  return ("/proc/%d/root%s"):format(attach.container_pid, path)
end

function attach_of.uprobe(program, attach, plan)
  local path, err = target_path(attach, plan)
  if not path then return nil, err end
  return bpf.link.uprobe(program, {
    path = path, fn_name = attach.fn_name, offset = attach.offset, retprobe = attach.retprobe,
    pid = attach.pid,
  })
end

function attach_of.fentry(program) return bpf.link.fentry(program) end

function attach_of.fexit(program) return bpf.link.fexit(program) end

function attach_of.tcx(program, attach)
  return bpf.link.tcx(program, attach.ifindex, attach.direction)
end

--- Attaches a loaded program.
---@param program table
---@param attach table   checked, with `ifindex` where there is an interface
---@param plan { target: table? }
---@return table? link, bpf.error? err
function attaching.attach(program, attach, plan)
  local link, err = attach_of[attach.type](program, attach, plan)
  if not link then return nil, err:because("attaching it") end
  return link
end

return attaching
