-- The work of a change, in a job: programs that come, go, and change their places, on any number of
-- hooks. All of it is built first; then each hook is swapped once. What fails leaves everything as
-- it was, and what is gone already, with its interface or its namespace, needs no swap.

local bpf = require "bpf"
local core = require "bpf.core"
local uv = require "luv"
local attaching = require "bpfd.attaching"
local change_hooks = require "bpfd.change_hooks"
local directories = require "bpfd.directories"
local engine_choice = require "bpfd.engine_choice"
local error_object = require "bpf.error"
local judging = require "bpfd.judging"
local leaving = require "bpfd.leaving"
local loading = require "bpfd.loading"
local tree = require "bpfd.tree"

local change_job = {}

local STEPS <const> = { "copy", "open", "verify", "pin", "attach" }
local TRIES <const> = 10 -- as libxdp does

---@class bpfd.change_plan
---@field run_dir string    the daemon's
---@field group integer?   who may use the maps
---@field mark integer      tells what it makes from what other changes have made, in the records
---@field add bpfd.addition[]  owners of maps before those that share them
---@field drop table[]     programs that go: id, note, hook_name, settings, engine_options, and as
---  paths own_maps, maps (see bpfd.change)
---@field attach table[]   one member of each hook whose chain is to be built and attached anew, as
---  in `keep`, with `manifest`: what the index has of it
---@field keep table[]     members that stay and may change their places: id, note (with the attach
---  that is wanted), hook_name, settings, engine_options, rank

local function load_one(job, addition, progress)
  local err
  progress(0)
  local sealed
  sealed, err = loading.copy(addition, job.copies)
  if not sealed then return nil, err end
  progress(1)
  local hook <const> = job.hooks.of[addition]
  if addition.owner then addition.note.map_owner_id = addition.owner.id end
  addition.object, err = loading.open(addition, sealed)
  if not addition.object then return nil, err end
  progress(2)
  local record
  record, err = loading.verify(addition, addition.object, hook and hook:engine(),
    hook and hook.hook)
  if not record then return nil, err, hook end
  progress(3)
  return loading.pin(addition, addition.object, record)
end

local function drop_loaded(job)
  for _, change in ipairs(job.changes) do change:discard() end
  for _, addition in ipairs(job.plan.add) do loading.drop(addition) end
  job.changes = {}
end

-- Everything up to the first operation that a packet could notice.
-- On failure also the hook whose engine did not want it, or the addition to blame.
local function build(job)
  for at, addition in ipairs(job.plan.add) do
    local good, err, hook = load_one(job, addition, function(step) job.progress(at, step) end)
    if not good then return nil, err, hook, addition end
  end
  job.progress(#job.plan.add, #STEPS - 1)
  for _, hook in ipairs(job.hooks) do
    local change, err = hook:prepare(job.plan.dirs)
    if change == nil then return nil, err, hook, hook:culprit() end
    if change then table.insert(job.changes, change) end
  end
  return true
end

-- With the engines that each hook may have, one after the other.
local function build_somehow(job)
  while true do
    local good, err, hook, culprit = build(job)
    if good then return true end
    drop_loaded(job)
    if err.code ~= "EOPNOTSUPP" or not hook or not hook.engines or not engine_choice.turn(hook) then
      return nil, err, culprit
    end
  end
end

-- The attaching of what is no member, in the form of a chain's change.
local function own_link(job, addition)
  local link
  return {
    commit = function()
      local attach <const> = addition.note.attach
      local good, err = job.enter(addition)
      if good then link, err = attaching.attach(addition.program, attach, addition) end
      if not link then return nil, err, addition end
      good, err = link:pin(job.plan.dirs:program(addition.id) .. "/link")
      if good then return true end
      link:close()
      return nil, err, addition
    end,
    undo = function()
      local good, err = bpf.pin.unlink(job.plan.dirs:program(addition.id) .. "/link")
      if addition.note.attach.type == "tcx" then link:detach() end
      link:close()
      return good, err
    end,
  }
end

-- What is likelier to be refused comes first: attaching anew, then links, then swaps; what cannot
-- be refused, taking chains away, is last.
local function operations(job)
  local order = { {}, {}, {}, {} }
  for _, change in ipairs(job.changes) do
    table.insert(order[change:attaches() and 1 or change.manifest and 3 or 4], change)
  end
  for _, addition in ipairs(job.plan.add) do
    if not job.hooks.of[addition] then table.insert(order[2], own_link(job, addition)) end
  end
  local all = {}
  for _, some in ipairs(order) do table.move(some, 1, #some, #all + 1, all) end
  return all
end

-- Where one fails, or raises, those before it are undone.
local function put_in_force(job)
  local done = {}
  for _, operation in ipairs(operations(job)) do
    local ended <const>, good, err, culprit = xpcall(operation.commit, debug.traceback, operation)
    if not ended or not good then
      for at = #done, 1, -1 do assert(done[at]:undo()) end
      if not ended and not error_object.is(good) then error(good, 0) end
      return nil, ended and err or good, culprit
    end
    table.insert(done, operation)
  end
  return true
end

-- A packet in a member that goes may be about to tail-call through a pinned map.
local function wait_for_packets(job)
  local needed = false
  for _, change in ipairs(job.changes) do needed = needed or change:needs_grace() end
  for _, member in ipairs(job.plan.drop) do needed = needed or member.hook_name ~= nil end
  if needed then bpf.chain.settle() end
end

-- What a failure here leaves is in force already: it raises, and the tree tells what there is.
local function finish(job)
  local chains, added = {}, {}
  wait_for_packets(job)
  for _, change in ipairs(job.changes) do
    local manifest, err = change:finish()
    if manifest == nil then error(err) end
    chains[change.name] = manifest
  end
  leaving.drop(job.plan)
  for at, addition in ipairs(job.plan.add) do
    addition.note.record_map_id = select(2, tree.record(job.plan.dirs, addition.id))
    added[at] = { id = addition.id, note = addition.note, hook = addition.note.attach.hook }
  end
  return { added = added, chains = chains }
end

-- Where a type is not to be had at all, that is the reason, in the words of `bpfctl features`.
-- Asked afterwards: a load that works need not wait for it.
local function reason(job, err, culprit)
  for _, addition in ipairs(culprit and { culprit } or job.plan.add) do
    local good, why = bpf.features.type(addition.note.attach.type)
    if not good then return why end
  end
  return err
end

-- Where libxdp changes a chain too, somebody else may have been faster, or have come to a hook that
-- was free; then all is done again with what runs by now.
local function was_overtaken(job, err)
  if err.code ~= "ESTALE" and err.code ~= "EBUSY" then return false end
  local again = false
  for _, hook in ipairs(job.hooks) do
    local was_shared <const> = hook.state.shared ~= nil
    local shared, failure = hook:look_again(job.plan.dirs)
    if shared == nil then return nil, failure, hook:culprit() end
    again = again or shared and (err.code == "ESTALE" or not was_shared)
  end
  return again
end

local function change_all(job)
  for try = 1, TRIES do
    local good, err, culprit = build_somehow(job)
    if good then good, err = leaving.mark(job.plan) end
    if good then good, err, culprit = put_in_force(job) end
    if good then return true end
    leaving.unmark(job.plan)
    drop_loaded(job)
    local again, failure, other = was_overtaken(job, err)
    if failure then return nil, failure, other end
    if not again or try == TRIES then return nil, err, culprit end
    uv.sleep(1 << math.min(try, 7))
  end
end

local function work(job)
  local err, culprit
  job.hooks, err, culprit = change_hooks.find(job.plan, job.home)
  if not job.hooks then return nil, err, culprit end
  local good = true
  if job.ask then good, err, culprit = judging.ask(job, job.ask) end
  if not good then return nil, err, culprit end
  good, err, culprit = change_all(job)
  if not good then return nil, reason(job, err, culprit), culprit end
  return finish(job)
end

-- What was being done, in the words of who asked for it.
local function doing(plan, culprit)
  if not culprit and #plan.add == 1 then culprit = plan.add[1] end
  if culprit then
    local text = ("loading %s from %s"):format(culprit.name or "a program", culprit.path)
    return culprit.declared and culprit.declared .. ": " .. text or text
  end
  if #plan.add == 0 and #plan.drop == 1 then
    return ("unloading program %d"):format(plan.drop[1].id)
  end
  return "changing what runs"
end

--- Does it, as a job that can be told. What cannot be tidied up is for `reconcile.settle`: see
--- bpfd.job.
---@param plan bpfd.change_plan
---@param progress fun(step: string, done: integer, total: integer)
---@param ask (fun(question: table): table?, bpf.error?)?  where policies are asked
---@return { added: table[], chains: table<string, table|false> }? outcome
---@return bpf.error? err
---@return boolean? is_broken_off
function change_job.perform(plan, progress, ask)
  -- a collection writes its marks into all that the daemon had, and so copies each page of it
  collectgarbage "stop"
  plan.dirs = directories.at(plan.run_dir)
  local pid <const> = core.system.identity().pid
  local home <close> = assert(core.system.open "/proc/self/ns/net")
  local before <const> = #STEPS - 1
  local job = { plan = plan, home = home, copies = {}, changes = {}, ask = ask }
  function job.progress(at, step)
    progress(STEPS[step + 1], (math.max(at, 1) - 1) * before + step, #plan.add * before + 1)
  end
  function job.enter(addition)
    return change_hooks.enter(home, addition.note.attach, addition.netns)
  end
  for _, addition in ipairs(plan.add) do
    addition.note.job, addition.staging = plan.mark, plan.dirs:staging(pid)
    addition.note.replaces = addition.replaces
    addition.dirs, addition.group = plan.dirs, plan.group
  end
  local outcome, err, culprit = work(job)
  for _, addition in ipairs(plan.add) do
    if addition.object then addition.object:close() end
  end
  local tidied, trouble = bpf.pin.remove_tree(plan.dirs:staging(pid))
  if not outcome then return nil, err:because(doing(plan, culprit)), not tidied end
  if not tidied then error(trouble) end
  return outcome
end

return change_job
