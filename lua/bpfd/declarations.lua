-- Declarations applied: what is wanted against what runs, made so as one change.

local bpf = require "bpf"
local addition = require "bpfd.addition"
local change = require "bpfd.change"
local declaration = require "bpf.declaration"
local declaration_diff = require "bpfd.declaration_diff"
local instances = require "bpfd.instances"
local json = require "bpf.json"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local programs = require "bpfd.programs"

local declarations = {}

local comes <const> = { add = true, replace = true }
local goes <const> = { remove = true, replace = true }

---@class bpfd.wanted_declaration
---@field name string
---@field programs bpf.declared_program[]  with `digest`
---@field prune boolean?
---@field dry_run boolean?
---@field only table<string, boolean>?  interfaces that have come
---@field absent boolean?  what is for an interface that is not there waits for it
---@field file string?  of programs.d, that it is from
---@field offline boolean?  images that the store has not are ENODATA
---@field is_stale (fun(): boolean)?  whether a newer version has come while images were pulled

local function labels_of(entries)
  local labels = {}
  for _, entry in ipairs(entries) do labels[entry.label] = true end
  return labels
end

local function chains_of(daemon)
  return function(hook_name)
    local manifest <const> = daemon.store:chain(hook_name)
    return manifest and manifest.members or {}
  end
end

local function make_plan(daemon, wanted)
  local absent <const> = wanted.absent or wanted.only ~= nil
  local all, err = instances.wanted(daemon, wanted.name, wanted.programs, { absent = absent })
  if not all then return nil, err end
  for rank, one in ipairs(all) do one.rank = rank end
  return declaration_diff.plan(all, instances.running(daemon, wanted.name), {
    labels = labels_of(wanted.programs), chains = chains_of(daemon),
    -- policies that decide of loads decide of priorities too
    adjust = not daemon.policy:wants "program.load", prune = wanted.prune, only = wanted.only,
    absent = absent,
  })
end

-- Everything that the declaration has its hands on, changed or not: the order on a hook is of all.
local function keys_of(wanted, plan)
  local keys, seen = {}, {}
  local function add(more)
    for _, key in pairs(more) do
      if not seen[key] then table.insert(keys, key) end
      seen[key] = true
    end
  end
  add { "declaration:" .. wanted.name }
  for _, planned in ipairs(plan) do
    local row <const> = planned.row
    if row then add(change.keys(row.note.attach, row.map_owner_id or row.id)) end
    if planned.wanted then
      local attach <const> = planned.wanted.attach
      local ifindex <const> = attach.iface and not attach.netns
        and bpf.network.index(attach.iface) or 0
      add(change.keys { type = attach.type, netns = attach.netns, ifindex = ifindex })
    end
  end
  return keys, seen
end

local function covers(seen, keys)
  for _, key in ipairs(keys) do
    if not seen[key] then return false end
  end
  return true
end

-- The plan is made once more when its locks are held; where it needs others then, again.
local function with_plan(daemon, wanted, body)
  local plan, err = make_plan(daemon, wanted)
  while plan do
    local keys, seen = keys_of(wanted, plan)
    local held <close> = lock.hold(keys) -- luacheck: ignore held
    plan, err = make_plan(daemon, wanted)
    if plan and covers(seen, (keys_of(wanted, plan))) then return body(plan) end
  end
  return nil, err
end

local function hook_names(daemon)
  local names = {}
  for name, manifest in daemon.store:chains() do
    names[table.concat({ manifest.type, manifest.netns or "", manifest.ifindex or "",
      manifest.direction or "" }, "\0")] = name
  end
  return function(attach)
    return names[table.concat({ attach.type, attach.netns or "", attach.ifindex or "",
      attach.direction or "" }, "\0")]
  end
end

local function addition_of(daemon, wanted, planned, owner)
  local one <const> = planned.wanted
  local files <const> = one.files or {}
  local new, err = addition.make(daemon, {
    name = one.name, attach = one.attach, global = one.global, metadata = one.metadata,
    persist = one.persist, label = one.label, declared_by = wanted.name, pattern = one.pattern,
    map_owner_id = owner and owner.row and not comes[owner.action] and owner.row.id or nil,
  }, {
    source = not files.image and daemon.objects:path(one.digest) or nil, image = files.image,
    path = one.path, target = files.target, netns = files.netns,
  })
  if not new then return nil, err:because(one.place) end
  new.digest, new.rank, new.declared = one.digest, one.rank, one.place
  new.replaces = planned.row and planned.row.id
  new.owner = owner and owner.addition
  planned.addition = new
  return new
end

-- Owners before those that share their maps.
local function additions_of(daemon, wanted, plan)
  local add = {}
  for _, shares in ipairs { false, true } do
    for _, planned in ipairs(plan) do
      if comes[planned.action] and (planned.owner ~= nil) == shares then
        local new, err = addition_of(daemon, wanted, planned, planned.owner)
        if not new then return nil, err end
        table.insert(add, new)
      end
    end
  end
  return add
end

-- Hooks that change anyhow, or whose members change their places.
local function touched_hooks(daemon, plan)
  local touched, name_of = {}, hook_names(daemon)
  for _, planned in ipairs(plan) do
    if planned.action ~= "keep" and planned.row then touched[planned.row.hook or false] = true end
    if comes[planned.action] then touched[name_of(planned.wanted.attach) or false] = true end
  end
  touched[false] = nil
  return touched
end

local function kept_member(daemon, planned)
  local member = change.member(daemon, planned.row)
  local attach = {}
  for key, value in pairs(planned.row.note.attach) do attach[key] = value end
  if planned.action == "adjust" then
    attach.priority = planned.wanted.attach.priority
    attach.proceed_on = planned.wanted.attach.proceed_on
  end
  member.note = { name = planned.row.note.name, attach = attach }
  member.rank = planned.wanted.rank
  return member
end

local function change_of(daemon, wanted, plan)
  local add, err = additions_of(daemon, wanted, plan)
  if not add then return nil, err end
  local drop, keep, touched = {}, {}, touched_hooks(daemon, plan)
  for _, planned in ipairs(plan) do
    if goes[planned.action] then
      table.insert(drop, change.member(daemon, planned.row))
    elseif planned.row and planned.wanted and touched[planned.row.hook or false] then
      table.insert(keep, kept_member(daemon, planned))
    end
  end
  return { add = add, drop = drop, keep = keep }
end

-- What the next start and every new interface need of it.
local function declaration_of(daemon, request, wanted)
  local entries, seen = {}, {}
  for i, entry in ipairs(wanted.programs) do
    entries[i] = {}
    for key, value in pairs(entry) do entries[i][key] = value end
    entries[i].files, entries[i].opened, entries[i].fd = nil, nil, nil
  end
  for index, interface in pairs(daemon.interfaces.known) do
    seen[tostring(index)] = interface.name
  end
  local peer <const>, before <const> = request.peer, daemon.store:declaration(wanted.name)
  return #entries > 0 and { programs = entries, seen = json.object(seen),
    file = wanted.file or before and before.file or nil,
    peer = { pid = peer.pid, uid = peer.uid, gid = peer.gid, groups = peer.groups } } or nil
end

local function make_it_so(daemon, request, wanted, plan)
  local planned_change, err = change_of(daemon, wanted, plan)
  if not planned_change then return nil, err end
  local function write()
    daemon.store:put_declaration(wanted.name, declaration_of(daemon, request, wanted))
    return true
  end
  if #planned_change.add + #planned_change.drop + #planned_change.keep == 0 then
    return daemon.store:change(write)
  end
  planned_change.also = write
  local outcome
  outcome, err = change.run(daemon, request, planned_change)
  if not outcome then return nil, err end
  for at, new in ipairs(planned_change.add) do new.outcome_id = outcome.added[at].id end
  programs.warn(outcome)
  return true
end

local function shown(plan)
  local changes = {}
  for i, planned in ipairs(plan) do
    local id = planned.row and planned.row.id
    if planned.addition then id = planned.addition.outcome_id end
    changes[i] = { action = planned.action, label = planned.label,
      iface = planned.iface or json.null, id = id or json.null, why = planned.why }
  end
  return changes
end

local function log_changes(request, name, changes)
  for _, one in ipairs(changes) do
    if one.action ~= "keep" then
      local iface <const> = one.iface ~= json.null and " on " .. one.iface or ""
      log.info("%s: %s %s%s, program %s: %s, for user %d", name, one.action, one.label, iface,
        tostring(one.id), one.why, request.peer.uid)
    end
  end
end

--- Makes what runs what is wanted, all or nothing, with one swap per hook.
---@param daemon table
---@param request table
---@param wanted bpfd.wanted_declaration
---@return { action: string, label: string, iface: string?, id: integer?, why: string }[]? changes
---@return bpf.error? err
function declarations.apply(daemon, request, wanted)
  if wanted.dry_run then
    local plan, err = make_plan(daemon, wanted)
    return plan and shown(plan), err
  end
  local changes, err = with_plan(daemon, wanted, function(plan)
    local good, failure = make_it_so(daemon, request, wanted, plan)
    if not good then return nil, failure end
    return shown(plan)
  end)
  if not changes then return nil, err end
  log_changes(request, wanted.name, changes)
  return changes
end

--- Interfaces of the daemon's own namespace that a declaration names and that are not there.
---@param declared table  of the store
---@return string[]
function declarations.missing(declared)
  local names, seen = {}, {}
  for _, entry in ipairs(declared.programs) do
    local iface <const> = not entry.attach.netns and entry.attach.iface
    if iface and not seen[iface] and not declaration.is_pattern(iface)
        and not bpf.network.index(iface) then
      seen[iface] = true
      names[#names + 1] = iface
    end
  end
  table.sort(names)
  return names
end

--- Whether a declaration wants something on an interface of the daemon's own namespace.
---@param declared table  of the store
---@param iface string
---@return boolean
function declarations.is_wanted_on(declared, iface)
  for _, entry in ipairs(declared.programs) do
    local attach <const> = entry.attach
    if attach.iface and not attach.netns and declaration.matches(attach.iface, iface) then
      return true
    end
  end
  return false
end

return declarations
