-- Attaching what is not a member of a chain, in a job: one link for each program.

local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"
local library = require "bpf.library"
local tree = require "bpfd.tree"

local system <const> = core.system

local attaching = {}

local attach_of = {}

function attach_of.tracepoint(program, attach)
  local category, name = attach.tracepoint:match "^([^/]+)/([^/]+)$"
  return bpf.link.tracepoint(program, { category = category, name = name })
end

function attach_of.raw_tracepoint(program, attach)
  return bpf.link.raw_tracepoint(program, { name = attach.tracepoint })
end

function attach_of.kprobe(program, attach)
  return bpf.link.kprobe(program, {
    fn_name = attach.fn_name, offset = attach.offset, retprobe = attach.retprobe,
  })
end

-- What the processes of a container see: their links and their library cache, not ours.
local function open_in_container(attach)
  local pid <const> = attach.container_pid
  local root <const> = ("/proc/%d/root"):format(pid)
  local directory <close>, err = system.open(root, "directory")
  if not directory then
    if err.code ~= "ENOENT" then return nil, err end
    return nil, error_object.new { code = "ESRCH",
      message = ("there is no process %d (container_pid) to look for %s with"):format(
        pid, attach.target) }
  end
  local path, opened
  path, err = library.find(attach.target, { root = root })
  if path then opened, err = system.open_below(directory, path:sub(#root + 1)) end
  if not opened then return nil, err:because(("in the container of process %d"):format(pid)) end
  return opened
end

-- The file that was opened by the client or, in a container, by us; else it is found by its name.
local function open_target(attach, plan)
  if plan.target then return plan.target end
  if attach.container_pid then return open_in_container(attach) end
  local path, err = library.find(attach.target)
  if not path then return nil, err end
  return system.open(path)
end

function attach_of.uprobe(program, attach, plan)
  local target, err = open_target(attach, plan)
  if not target then return nil, err end
  local link
  link, err = bpf.link.uprobe(program, {
    path = "/proc/self/fd/" .. target:fd(), name = attach.target, fn_name = attach.fn_name,
    offset = attach.offset, retprobe = attach.retprobe, pid = attach.pid,
  })
  if target ~= plan.target then target:close() end
  return link, err
end

function attach_of.fentry(program) return bpf.link.fentry(program) end

function attach_of.fexit(program) return bpf.link.fexit(program) end

-- Lower priorities first, among equals the newer, as in chains. Where somebody else's programs
-- stand between ours they keep their places.
local function place_among_ours(dirs, attach)
  local running, err = bpf.network.tcx(attach.ifindex, attach.direction)
  if not running then return nil, err end
  local last
  for _, id in ipairs(running) do
    local note
    if tree.exists(dirs:program(id)) then note, err = tree.note(dirs, id) end
    if not note and err and err.code ~= "EINVAL" then return nil, err end
    if note and note.attach.type == "tcx" then
      if attach.priority <= note.attach.priority then return { before = id } end
      last = id
    end
  end
  return last and { after = last } or {}
end

function attach_of.tcx(program, attach, plan)
  local place, err = place_among_ours(plan.dirs, attach)
  if not place then return nil, err end
  return bpf.link.tcx(program, attach.ifindex, attach.direction, place)
end

--- Attaches a loaded program.
---@param program table
---@param attach table   checked, with `ifindex` where there is an interface
---@param plan { target: table?, dirs: table }
---@return table? link, bpf.error? err
function attaching.attach(program, attach, plan)
  local link, err = attach_of[attach.type](program, attach, plan)
  if not link then return nil, err:because("attaching it") end
  return link
end

return attaching
