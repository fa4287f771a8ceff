-- Loads, unloads and replacements of single programs: each a change (bpfd.change) of one element.

local bpf = require "bpf"
local error_object = require "bpf.error"
local addition = require "bpfd.addition"
local change = require "bpfd.change"
local images = require "bpfd.images"
local index = require "bpfd.index"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local persisted = require "bpfd.persisted"
local program_object = require "bpfd.program_object"

local programs = {}

local function refusal(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

-- A program that itself shares has no maps of its own to share.
local function check_owner(daemon, id)
  if not id then return true end
  local row = daemon.store:program(id)
  if row and row.map_owner_id then
    return refusal("EINVAL", ("program %d has no maps of its own: it shares those of program %d")
      :format(id, row.map_owner_id), ("use --map-owner-id %d"):format(row.map_owner_id))
  end
  if #daemon.store:map_users(id) > 0 then return true end
  return refusal("ENOENT", ("there is no program %d whose maps could be shared"):format(id),
    "bpfctl list shows the ids")
end

--- Says which members of new chains share a packet's tail calls.
function programs.warn(outcome)
  for _, manifest in pairs(outcome.chains) do
    local tail_callers <const> = manifest and manifest.tail_callers or {}
    if #tail_callers > 1 then
      log.warning("%s on one hook share a packet's 33 tail calls", table.concat(tail_callers, ", "))
    end
  end
end

local function not_ours(id)
  local program <close> = bpf.program.open_id(id)
  if program then
    return refusal("EPERM", ("program %d was not loaded by bpfd"):format(id),
      "who loaded it can unload it")
  end
  return refusal("ENOENT", ("there is no program %d"):format(id), "bpfctl list shows the ids")
end

-- What has to be held while a program comes or goes; of one that is unknown, nothing.
local function keys_of_row(row)
  return row and change.keys(row.note.attach, row.map_owner_id or row.id) or {}
end

-- With the hooks and the maps in hand.
local function load_now(daemon, request, wish, new)
  local keys = keys_of_row(new.replaces and daemon.store:program(new.replaces))
  table.move(change.keys(wish.attach, wish.map_owner_id), 1, 2, #keys + 1, keys)
  local held <close> = lock.hold(keys) -- luacheck: ignore held
  local good, err = check_owner(daemon, wish.map_owner_id)
  if not good then return nil, err end
  if not new.replaces then return change.run(daemon, request, { add = { new } }) end
  local row <const> = daemon.store:program(new.replaces)
  if not row then return not_ours(new.replaces) end
  return change.run(daemon, request, { add = { new }, drop = { change.member(daemon, row) } })
end

-- What comes back after a reboot is loaded from the copy that will be loaded then, too.
---@return table? kept  to be closed when the load has ended
local function persist(daemon, request, wish, new)
  local good, err = persisted.check(wish.attach)
  if not good then return nil, err end
  if wish.declared_by then return lock.hold {} end -- it comes back with its declaration
  local note <const> = new.note
  note.persisted, err = wish.persisted, nil
  if not note.persisted then note.persisted, err = persisted.new_number(daemon) end
  if not note.persisted then return nil, err end
  local peer <const> = request.peer
  note.peer = { pid = peer.pid, uid = peer.uid, gid = peer.gid, groups = peer.groups }
  if wish.image then return lock.hold {} end
  local kept
  kept, err = daemon.objects:take(request, { { descriptor = new.source, path = new.path } },
    { limit = new.size_limit, keep = true })
  if not kept then return nil, err:because(("loading %s"):format(wish.name)) end
  new.digest, new.source = kept[1], daemon.objects:path(kept[1])
  return kept
end

local function load_somehow(daemon, request, wish, new)
  if not wish.image then return load_now(daemon, request, wish, new) end
  return images.with(daemon, request, wish.image, function(digest)
    new.image.digest = digest
    return load_now(daemon, request, wish, new)
  end)
end

local function load_kept(daemon, request, wish, new)
  if not wish.persist then return load_somehow(daemon, request, wish, new) end
  local kept <close>, err = persist(daemon, request, wish, new)
  if not kept then return nil, err end
  return load_somehow(daemon, request, wish, new)
end

-- Of one that runs, also where that cannot be written down yet.
local function row_of(daemon, added)
  local row <const> = daemon.store:program(added.id)
  if row then return row end
  local note <const>, fixed <const> = added.note, program_object.fixed(added.id, added.note)
  return { id = added.id, type = note.type, hook = added.hook, map_owner_id = note.map_owner_id,
    iface = note.attach.iface, ifindex = not note.attach.netns and note.attach.ifindex or nil,
    note = note, object = fixed.object, attach = fixed.attach }
end

--- Loads and attaches a program.
---@param wish table  name, attach (checked), global, metadata, map_owner_id, persist, image;
---  replaces: id of one whose place it takes, in the same swap; persisted: its number
---@return table? program, bpf.error? err
function programs.load(daemon, request, wish)
  local new, err = addition.prepare(daemon, request, wish, request.params)
  if not new then return nil, err end
  new.replaces = wish.replaces
  local outcome
  outcome, err = load_kept(daemon, request, wish, new)
  if wish.persist or wish.persisted then daemon.objects:drop_unused(daemon) end
  if not outcome then return nil, err end
  local id <const> = outcome.added[1].id
  local row <const> = row_of(daemon, outcome.added[1])
  log.info("program %d%s: %s, %s, for user %d", id,
    wish.replaces and (" in the place of %d"):format(wish.replaces) or "", row.note.name,
    wish.attach.type, request.peer.uid)
  programs.warn(outcome)
  return program_object.loaded(daemon, row)
end

programs.not_ours = not_ours

-- What went with its interface is as its user wants it, and does not come back with it.
local function is_gone(daemon, id)
  local gone, err = not_ours(id)
  if err.code ~= "ENOENT" or not daemon.departed:has(id) then return gone, err end
  local number <const> = persisted.number_of_departed(daemon.store, id)
  if number then
    local good
    good, err = index.write(daemon, function() persisted.forget(daemon.store, number) end)
    if not good then return nil, err end
  end
  return id
end

-- A program of a declaration that is persisted does not come back, either; one of a pattern's does,
-- which is for all interfaces.
local function end_persistence(daemon, row)
  local note <const> = row.note
  if not note.persist or not note.declared_by or note.pattern then return nil end
  return function()
    local declared <const> = daemon.store:declaration(note.declared_by)
    if not declared or declared.file then return end
    for _, entry in ipairs(declared.programs) do
      if entry.label == note.label then entry.persist = false end
    end
    daemon.store:put_declaration(note.declared_by, declared)
  end
end

--- Detaches and unloads one of ours.
---@param id integer
---@return integer? id, bpf.error? err
function programs.unload(daemon, request, id)
  local row = daemon.store:program(id)
  if not row then return is_gone(daemon, id) end
  local held <close> = lock.hold(keys_of_row(row)) -- luacheck: ignore held
  row = daemon.store:program(id)
  if not row then return is_gone(daemon, id) end
  local outcome, err = change.run(daemon, request,
    { drop = { change.member(daemon, row) }, also = end_persistence(daemon, row) })
  if not outcome then return nil, err end
  log.info("program %d is unloaded, for user %d", id, request.peer.uid)
  if row.note.persist then daemon.objects:drop_unused(daemon) end
  return id
end

--- Unloads a persisted program by its number, or gives it up where it waits.
---@param number integer
---@return any done, bpf.error? err
function programs.unload_persisted(daemon, request, number)
  for _, row in ipairs(persisted.running(daemon.store)) do
    if row.number == number then return programs.unload(daemon, request, row.id) end
  end
  local forgotten
  local good, err = index.write(daemon, function()
    forgotten = persisted.forget(daemon.store, number)
  end)
  if not good then return nil, err end
  if not forgotten then
    return refusal("ENOENT", ("no program is persisted as %d"):format(number),
      "bpfctl status shows the numbers")
  end
  log.info("persisted program %d is given up, for user %d", number, request.peer.uid)
  daemon.objects:drop_unused(daemon)
  return true
end

return programs
