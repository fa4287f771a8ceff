-- Loads, unloads and replacements of single programs: each a change (bpfd.change) of one element.

local bpf = require "bpf"
local error_object = require "bpf.error"
local addition = require "bpfd.addition"
local change = require "bpfd.change"
local images = require "bpfd.images"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
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

--- Loads and attaches a program.
---@param wish table  name, attach (checked), global, metadata, map_owner_id, persist, image;
---  replaces: id of one whose place it takes, in the same swap
---@return table? program, bpf.error? err
function programs.load(daemon, request, wish)
  local new, err = addition.prepare(daemon, request, wish, request.params)
  if not new then return nil, err end
  new.replaces = wish.replaces
  local outcome
  if wish.image then
    outcome, err = images.with(daemon, request, wish.image, function(digest)
      new.image.digest = digest
      return load_now(daemon, request, wish, new)
    end)
  else
    outcome, err = load_now(daemon, request, wish, new)
  end
  if not outcome then return nil, err end
  local id <const> = outcome.added[1].id
  local row <const> = daemon.store:program(id)
  log.info("program %d%s: %s, %s, for user %d", id,
    wish.replaces and (" in the place of %d"):format(wish.replaces) or "", row.note.name,
    wish.attach.type, request.peer.uid)
  programs.warn(outcome)
  return program_object.whole(daemon, row)
end

programs.not_ours = not_ours

-- What went with its interface is as its user wants it.
local function is_gone(daemon, id)
  local gone, err = not_ours(id)
  if err.code == "ENOENT" and daemon.departed:has(id) then return id end
  return gone, err
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
  local outcome, err = change.run(daemon, request, { drop = { change.member(daemon, row) } })
  if not outcome then return nil, err end
  log.info("program %d is unloaded, for user %d", id, request.peer.uid)
  return id
end

return programs
