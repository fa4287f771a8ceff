-- The work of an unload, in a job. What is gone already, with its interface or its namespace, needs
-- no change of a chain.

local bpf = require "bpf"
local uv = require "luv"
local chain_change = require "bpfd.chain_change"
local place = require "bpfd.place"
local tree = require "bpfd.tree"

local unload_job = {}

local MOST_WAITED <const> = 500 * 1000000 -- nanoseconds

local function without(members, id)
  local rest = {}
  for _, member in ipairs(members) do
    if member.id ~= id then rest[#rest + 1] = member end
  end
  return rest
end

-- The hook, if it can still be reached: its namespace may be gone, or another have its place.
local function reach(plan, attach)
  if not place.enter(attach) then return nil end
  local hook = place.hook(attach, plan.settings)
  return hook and hook.name == plan.hook_name and hook or nil
end

-- The manifest of what is left; false when nothing is.
local function leave_chain(plan)
  local err
  local dirs <const>, name <const> = plan.dirs, plan.hook_name
  local hook = reach(plan, plan.note.attach)
  local state = chain_change.state(dirs, name, hook)
  if not state.manifest then
    bpf.pin.remove_tree(dirs:chain(name))
    return false
  end
  local manifest <const> = state.manifest
  manifest.members = without(tree.living_members(dirs, manifest), plan.id)
  if #manifest.members == 0 then
    local good
    good, err = chain_change.remove(dirs, name, hook or place.unreachable(plan.note.attach), state)
    if not good then return nil, err end
    return false
  end
  -- What no packet reaches any more is not built anew.
  if not state.live then return manifest end
  return chain_change.swap(dirs, name, hook or place.unreachable(plan.note.attach), state, manifest,
    plan.engine_options)
end

-- TCX programs stop at once, others some time after the last pin of their links is gone.
local function unlink(plan)
  local path <const> = plan.dirs:program(plan.id) .. "/link"
  local link <close> = plan.note.attach.type == "tcx" and bpf.link.open_pin(path) or nil
  local info = link and link:info()
  if info and not info.severed then
    local good, err = link:detach()
    if not good then return nil, err end
  end
  local good, err = bpf.pin.unlink(path)
  if good or err.code == "ENOENT" then return true end
  return nil, err
end

-- Once the kernel has let go of the program nothing of it runs any more. Somebody else may hold it.
local function await_end(id)
  local deadline <const> = uv.hrtime() + MOST_WAITED
  repeat
    local program <close> = bpf.program.open_id(id)
    if not program then return end
    program:close()
    uv.sleep(1)
  until uv.hrtime() > deadline
end

local function work(plan)
  local manifest, err
  if plan.hook_name then
    manifest, err = leave_chain(plan)
    if manifest == nil then return nil, err end
    bpf.chain.settle() -- a packet in the member may be about to tail-call through a pinned map
  else
    local good
    good, err = unlink(plan)
    if not good then return nil, err end
  end
  for _, directory in ipairs(plan.drop) do
    local good
    good, err = bpf.pin.remove_tree(directory)
    if not good then return nil, err end
  end
  if not plan.hook_name then await_end(plan.id) end
  return { manifest = manifest or nil }
end

--- Does it.
---@param plan table  dirs, id, note, hook_name, settings, engine_options, drop: directories that go
---  when the program no longer runs
---@return { manifest: table? }? outcome, bpf.error? err
function unload_job.run(plan)
  local outcome, err = work(plan)
  if not outcome then return nil, err:because(("unloading program %d"):format(plan.id)) end
  return outcome
end

return unload_job
