-- Loads and unloads: each one job, then one transaction of the index.

local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"
local files = require "bpfd.files"
local load_job = require "bpfd.load_job"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local program_object = require "bpfd.program_object"
local reconcile = require "bpfd.reconcile"
local unload_job = require "bpfd.unload_job"

local programs = {}

local is_ordered <const> = { xdp = true, tc = true, tcx = true }

local function refusal(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

-- Both directions of an interface share its clsact. Namespaces other than ours share one lock.
local function hook_key(attach)
  if not is_ordered[attach.type] then return nil end
  if attach.netns then return attach.type .. ":other namespaces" end
  return ("%s:%d"):format(attach.type, attach.ifindex)
end

local function keys_of(attach, map_owner)
  local keys = { map_owner and "maps:" .. map_owner }
  local key <const> = hook_key(attach)
  if key then keys[#keys + 1] = key end
  return keys
end

--- Whether nothing changes this hook now.
function programs.is_free(daemon, hook_name)
  local manifest = daemon.store:chain(hook_name)
  return not manifest or not lock.is_held(hook_key(manifest))
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

local function engine_options(settings)
  return { tc_end = settings.tc_end }
end

local function note_of(daemon, wish)
  return {
    name = wish.name, type = wish.attach.type, attach = wish.attach, metadata = wish.metadata,
    map_owner_id = wish.map_owner_id, persist = wish.persist, label = wish.label,
    declared_by = wish.declared_by, path = wish.path, loaded_at = core.system.clock(),
    boot_id = daemon.store.boot_id,
  }
end

local function make_plan(daemon, request, wish)
  local attach <const> = wish.attach
  local plan = { dirs = daemon.directories, name = wish.name, global = wish.global,
    size_limit = daemon.config.images.object_size, group = daemon.group }
  local err
  plan.source, plan.path = files.object(daemon, request)
  if not plan.source then return nil, plan.path end
  wish.path = plan.path
  plan.target, err = files.target(request, attach)
  if err then return nil, err end
  plan.netns, err = files.netns(request, attach)
  if err then return nil, err end
  if attach.iface then
    plan.settings = daemon.config:interface(attach.iface)
    plan.engine_options = engine_options(plan.settings)
    if not plan.netns then
      attach.ifindex = bpf.network.index(attach.iface)
      if not attach.ifindex then
        return refusal("ENODEV", "there is no interface " .. attach.iface)
      end
    end
  end
  plan.note = note_of(daemon, wish)
  return plan
end

local function kept_descriptors(plan)
  local kept = { plan.source }
  for _, descriptor in ipairs { plan.target or false, plan.netns or false } do
    if descriptor then kept[#kept + 1] = descriptor end
  end
  return kept
end

-- What of an unload goes with the program: its directory, the maps that a sharer has beside the
-- owner's, and all others with their last user.
local function directories_to_drop(daemon, row)
  local dirs <const> = daemon.directories
  local owner <const> = row.map_owner_id or row.id
  local drop, others = { dirs:program(row.id) }, 0
  for _, user in ipairs(daemon.store:map_users(owner)) do
    if user ~= row.id then others = others + 1 end
  end
  if others == 0 then drop[#drop + 1] = dirs:maps(owner) end
  if owner ~= row.id then drop[#drop + 1] = dirs:maps(row.id) end
  return drop
end

local function run_unload(daemon, request, row)
  if row.hook then daemon.hooks:mend(row.hook) end
  local attach <const> = row.note.attach
  local settings = attach.iface and daemon.config:interface(attach.iface)
  local plan = { dirs = daemon.directories, id = row.id, note = row.note, hook_name = row.hook,
    settings = settings, engine_options = settings and engine_options(settings),
    drop = directories_to_drop(daemon, row) }
  local outcome, err, died = request:run(function() return unload_job.run(plan) end, {})
  if died then
    reconcile.settle(daemon, died, plan)
    if daemon.store:program(row.id) then return nil, err end
    outcome = { settled = true }
  end
  if not outcome then return nil, err end
  return outcome
end

local function forget(daemon, row, outcome)
  if outcome.settled then return true end
  local good, err = daemon.store:change(function()
    daemon.store:remove_program(row.id)
    if row.hook then daemon.store:put_chain(row.hook, outcome.manifest) end
    return true
  end)
  if row.hook then daemon.hooks:hold(row.hook) end
  return good, err
end

-- A load that cannot be written down is taken back.
local function take_back(daemon, request, result)
  request.cancelled = nil
  local row = { id = result.id, hook = result.hook, note = result.note,
    map_owner_id = result.note.map_owner_id }
  local outcome, err = run_unload(daemon, request, row)
  if not outcome then log.error("a load could not be taken back: %s", tostring(err)) end
  if result.hook then daemon.hooks:hold(result.hook) end
end

local function remember(daemon, request, result)
  local good, err = daemon.store:change(function()
    daemon.store:put_program(result.id, result.note, result.hook,
      program_object.fixed(result.id, result.note))
    if result.manifest then daemon.store:put_chain(result.hook, result.manifest) end
    return true
  end)
  if not good then
    take_back(daemon, request, result)
    return nil, err:because "writing the load down"
  end
  if result.hook then daemon.hooks:hold(result.hook) end
  return result.id
end

--- Loads and attaches a program.
---@param wish table  name, attach (checked), global, metadata, map_owner_id, persist
---@return table? program, bpf.error? err
function programs.load(daemon, request, wish)
  local plan, err = make_plan(daemon, request, wish)
  if not plan then return nil, err end
  local held <close> = lock.hold(keys_of(wish.attach, wish.map_owner_id)) -- luacheck: ignore held
  local good
  good, err = check_owner(daemon, wish.map_owner_id)
  if not good then return nil, err end
  local known <const> = plan.note.attach.ifindex and daemon:hook_of(plan.note.attach)
  if known then daemon.hooks:mend(known) end
  local result, id, died
  result, err, died = request:run(function(progress) return load_job.run(plan, progress) end,
    kept_descriptors(plan))
  if died then
    id = reconcile.settle(daemon, died)
  elseif result then
    id, err = remember(daemon, request, result)
  end
  if not id then return nil, err end
  log.info("program %d: %s, %s, for user %d", id, wish.name, wish.attach.type, request.peer.uid)
  local tail_callers <const> = result and result.manifest and result.manifest.tail_callers or {}
  if #tail_callers > 1 then
    log.warning("%s on one hook share a packet's 33 tail calls", table.concat(tail_callers, ", "))
  end
  return program_object.whole(daemon, daemon.store:program(id))
end

local function not_ours(id)
  local program <close> = bpf.program.open_id(id)
  if program then
    return refusal("EPERM", ("program %d was not loaded by bpfd"):format(id),
      "who loaded it can unload it")
  end
  return refusal("ENOENT", ("there is no program %d"):format(id), "bpfctl list shows the ids")
end

--- Detaches and unloads one of ours.
---@param id integer
---@return integer? id, bpf.error? err
function programs.unload(daemon, request, id)
  local row = daemon.store:program(id)
  if not row then return not_ours(id) end
  local held <close> = -- luacheck: ignore held
    lock.hold(keys_of(row.note.attach, row.map_owner_id or row.id))
  row = daemon.store:program(id)
  if not row then return not_ours(id) end
  local outcome, err = run_unload(daemon, request, row)
  if not outcome then return nil, err end
  local good
  good, err = forget(daemon, row, outcome)
  if not good then return nil, err end
  log.info("program %d is unloaded, for user %d", id, request.peer.uid)
  return id
end

return programs
