-- Brings the index in line with what is pinned: at the start, and after a job that died.

local index = require "bpfd.index"
local job = require "bpfd.job"
local log = require "bpfd.log"
local persisted = require "bpfd.persisted"
local reconcile_job = require "bpfd.reconcile_job"
local tree = require "bpfd.tree"

local reconcile = {}

-- What another moment may read: nobody is to serve who does not know of a program that runs.
local is_passing <const> = { EIO = true, ENOMEM = true, EMFILE = true, ENFILE = true }

local function put(daemon, program)
  local note, err = tree.note(daemon.directories, program.id)
  if note then return index.put_program(daemon, program.id, note, program.hook) end
  err = err:because(("reading the record of program %d"):format(program.id))
  if is_passing[err.code] then error(err) end
  log.error("%s", tostring(err))
end

local function put_all(daemon, found)
  local known, added, dropped = {}, 0, 0
  for row in daemon.store:programs() do known[row.id] = true end
  for _, program in ipairs(found.programs) do
    if not known[program.id] then
      put(daemon, program)
      added = added + 1
    end
    known[program.id] = nil
  end
  for id in pairs(known) do
    persisted.keep(daemon.store, { daemon.store:program(id) })
    daemon.store:remove_program(id)
    dropped = dropped + 1
  end
  for hook_name in daemon.store:chains() do known[hook_name] = true end
  for hook_name in pairs(known) do daemon.store:put_chain(hook_name, nil) end
  for hook_name, manifest in pairs(found.chains) do
    index.put_chain(daemon, hook_name, manifest, { places = true })
  end
  if added + dropped + found.removed > 0 then
    log.warning("%d programs were not in the database and %d no longer ran; %d attempts that had "
      .. "died were removed", added, dropped, found.removed)
  end
  return true
end

--- The whole tree against the whole index.
---@return true? ok, bpf.error? err
function reconcile.run(daemon)
  local found, err = job.run(function() return reconcile_job.run(daemon.directories) end)
  if not found then return nil, err:because "reading what is pinned" end
  local good
  good, err = daemon.store:change(function()
    persisted.keep(daemon.store, daemon.store:of_other_boots())
    persisted.keep_declarations(daemon.store)
    daemon.store:forget_other_boots()
    put_all(daemon, found)
    persisted.drop_loaded(daemon.store)
    return true
  end)
  if not good then return nil, err end
  for hook_name in pairs(found.chains) do daemon.hooks:hold(hook_name) end
  log.info("%d programs run", #found.programs)
  return true
end

--- After a job that died: what it did is either done and known, or gone.
---@param daemon table
---@param died integer  its pid
---@param plan bpfd.change_plan  what its work was
---@return { added: table[], chains: table<string, table|false> }? outcome  what of it is in force
function reconcile.settle(daemon, died, plan)
  local found, err = job.run(function()
    return reconcile_job.settle(daemon.directories, died, plan)
  end)
  if not found then
    log.error("what a dead job left behind could not be removed: %s", tostring(err))
    return nil
  end
  local good
  good, err = daemon.store:change(function()
    for _, program in ipairs(found.kept) do put(daemon, program) end
    for _, gone in ipairs(found.gone) do daemon.store:remove_program(gone) end
    for name, manifest in pairs(found.chains) do
      index.put_chain(daemon, name, manifest, { places = true })
    end
    return true
  end)
  if not good then log.error("what a dead job has left is not written down: %s", tostring(err)) end
  for name in pairs(found.chains) do daemon.hooks:hold(name) end
  local outcome = { added = {}, chains = found.chains }
  for _, program in ipairs(found.kept) do
    if program.is_new then table.insert(outcome.added, program) end
  end
  return outcome
end

return reconcile
