-- What has vanished or changed behind the daemon's back: found, told, and mended where that needs
-- no guess. The start and `bpfctl doctor` are the same look (docs/doctor.md).

local change = require "bpfd.change"
local database_file = require "bpfd.database_file"
local findings = require "bpfd.findings"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local own_request = require "bpfd.own_request"
local persisted = require "bpfd.persisted"
local reconcile = require "bpfd.reconcile"

local doctor = {}

local function members_of(daemon, ids)
  local members, rows = {}, {}
  for _, id in ipairs(ids) do
    local row <const> = daemon.store:program(id)
    if row then
      table.insert(members, change.member(daemon, row))
      table.insert(rows, row)
    end
  end
  return members, rows
end

local mends = {}

-- What has gone with its interface.
function mends.drop(daemon, action)
  local drop <const>, rows <const> = members_of(daemon, action.ids)
  for _, member in ipairs(drop) do daemon.departed:add(member.id) end
  return change.run(daemon, own_request.new "system.doctor", { drop = drop, is_fact = true,
    is_alone = true, before = function() persisted.keep(daemon.store, rows) end })
end

-- A chain that is to run (again), with the members that are not in it.
function mends.attach(daemon, action)
  local chain <const> = daemon.store:chain(action.hook)
  local some, keep = nil, members_of(daemon, action.ids)
  for _, id in ipairs(daemon.store:on_hook(action.hook)) do
    some = some or members_of(daemon, { id })[1]
  end
  if not some then return true end
  some.manifest = chain
  return change.run(daemon, own_request.new "system.doctor",
    { attach = { some }, keep = keep, is_fact = true, is_alone = true })
end

-- All findings about one hook are mended at once.
local function collect(list)
  local jobs, by_hook = {}, {}
  for _, finding in ipairs(list) do
    local action <const> = finding.action
    if action and mends[action.kind] then
      local key <const> = action.hook and action.kind .. action.hook
      local known = by_hook[key or false]
      if not known then
        known = { kind = action.kind, hook = action.hook, ids = {}, findings = {} }
        table.insert(jobs, known)
        if key then by_hook[key] = known end
      end
      table.move(action.ids, 1, #action.ids, #known.ids + 1, known.ids)
      table.insert(known.findings, finding)
    end
  end
  return jobs
end

local function act(daemon, list)
  for _, job in ipairs(collect(list)) do
    local good, err = mends[job.kind](daemon, job)
    for _, finding in ipairs(job.findings) do findings.settle(finding, good, err) end
  end
end

local function look_at_mount(daemon, told)
  if daemon.file_system:is_mounted() then return true end
  local found = { code = "mount.gone", subject = daemon.directories.fs,
    text = "somebody has unmounted it", repair = "put it back, with all that is pinned in it" }
  told:add(found, function() return daemon.file_system:mend() end)
  return found.state == "repaired"
end

--- Looks at everything, when the changes under way have ended; those that come meanwhile wait.
---@param daemon table
---@param options { repair: boolean }
---@return bpfd.finding[]? list
---@return bpf.error? err  also beside a list: the index could not be written
function doctor.run(daemon, options)
  local held <close> = lock.tree_alone() -- luacheck: ignore held
  local told <const> = findings.new(options.repair)
  local is_readable <const> = database_file.look(daemon, told)
  if not look_at_mount(daemon, told) or not is_readable then return told.list end
  local list, err = reconcile.run(daemon, options.repair)
  if not list then return nil, err end
  if options.repair then act(daemon, list) end
  -- what was loaded with persist and is lost comes back
  if options.repair and daemon.server then daemon.boot:look_again() end
  table.move(list, 1, #list, #told.list + 1, told.list)
  return told.list, err
end

--- One finding, in one line.
---@param finding bpfd.finding
---@return string
function doctor.sentence(finding)
  local parts <const> = { ("%s: %s: %s"):format(finding.code, finding.subject, finding.text) }
  if finding.state == "repaired" then
    parts[2] = "repaired: " .. finding.repair
  elseif finding.trouble then
    parts[2] = ("left: %s"):format(finding.trouble)
  end
  return table.concat(parts, "; ")
end

--- Before the first request: the index agrees with the kernel, and what was loaded runs.
---@return true? ok, bpf.error? err
function doctor.start(daemon)
  local good, err = reconcile.forget_other_boots(daemon)
  if not good then return nil, err end
  local list
  list, err = doctor.run(daemon, { repair = true })
  local all <const> = { daemon.database_finding }
  table.move(list or {}, 1, list and #list or 0, #all + 1, all)
  for _, finding in ipairs(all) do log.warning("%s", doctor.sentence(finding)) end
  if err then return nil, err end
  log.info("%d programs run", daemon.store:count "programs")
  return true
end

return doctor
