-- Brings the index in line with what is pinned: at the start, for the doctor, and after a job that
-- died.

local findings = require "bpfd.findings"
local index = require "bpfd.index"
local job = require "bpfd.job"
local log = require "bpfd.log"
local persisted = require "bpfd.persisted"
local reconcile_job = require "bpfd.reconcile_job"
local tree = require "bpfd.tree"

local reconcile = {}

-- What another moment may read: nobody is to serve who does not know of a program that runs.
local is_passing <const> = { EIO = true, ENOMEM = true, EMFILE = true, ENFILE = true }

--- What the index has, for a job.
---@return bpfd.known
function reconcile.known(daemon)
  local known = { programs = daemon.store:known_programs(), chains = {} }
  for hook_name, manifest in daemon.store:chains() do known.chains[hook_name] = manifest end
  return known
end

--- Forgets what ran before the last boot, but for what is to come back.
---@return any good, bpf.error? err
function reconcile.forget_other_boots(daemon)
  local store <const> = daemon.store
  return store:change(function()
    persisted.keep(store, store:of_other_boots())
    persisted.keep_declarations(store)
    return store:forget_other_boots()
  end)
end

local function put(daemon, program)
  local note, err = tree.note(daemon.directories, program.id)
  if note then return index.put_program(daemon, program.id, note, program.hook) end
  err = err:because(("reading the record of program %d"):format(program.id))
  if is_passing[err.code] then error(err) end
  log.error("%s", tostring(err))
end

local function put_all(daemon, found)
  local known = {}
  for row in daemon.store:programs() do known[row.id] = true end
  for _, program in ipairs(found.programs) do
    if not known[program.id] then put(daemon, program) end
    known[program.id] = nil
  end
  for id in pairs(known) do
    persisted.keep(daemon.store, { daemon.store:program(id) })
    daemon.store:remove_program(id)
  end
  known = {}
  for hook_name in daemon.store:chains() do known[hook_name] = true end
  for hook_name in pairs(known) do
    if not found.chains[hook_name] then daemon.store:put_chain(hook_name, nil) end
  end
  for hook_name, manifest in pairs(found.chains) do
    index.put_chain(daemon, hook_name, manifest, { places = true })
  end
  persisted.drop_loaded(daemon.store)
end

--- The whole tree against the whole index, while nothing changes either.
---@param daemon table
---@param mends boolean  what can be mended without the daemon is, and the index written
---@return bpfd.finding[]? list
---@return bpf.error? err  also beside a list: the index could not be written
function reconcile.run(daemon, mends)
  local known <const> = reconcile.known(daemon)
  local found, err = job.run(function()
    return reconcile_job.run(daemon.directories, { known = known, mends = mends,
      group = daemon.group })
  end)
  if not found then return nil, err:because "reading what is pinned" end
  if not mends then return found.findings end
  local good
  good, err = index.write(daemon, function() put_all(daemon, found) end)
  for _, finding in ipairs(found.findings) do
    if finding.action and finding.action.kind == "index" then
      findings.settle(finding, good, err)
    end
  end
  daemon.hooks:hold_all()
  return found.findings, err
end

--- After a job that died: what it did is either done and known, or gone.
---@param daemon table
---@param died integer  its pid
---@param plan bpfd.change_plan  what its work was
---@return { added: table[], chains: table<string, table|false> }? outcome  what of it is in force
function reconcile.settle(daemon, died, plan)
  local known <const> = reconcile.known(daemon)
  local found, err = job.run(function()
    return reconcile_job.settle(daemon.directories, died, plan, known)
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
    persisted.drop_loaded(daemon.store)
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
