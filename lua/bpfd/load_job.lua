-- The work of a load, in a job: from a file's descriptor to a program that runs. What fails leaves
-- everything as it was.

local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"
local global = require "bpf.global"
local json = require "bpf.json"
local nearest = require "bpf.nearest"
local verdict = require "bpf.verdict"
local attaching = require "bpfd.attaching"
local chain_change = require "bpfd.chain_change"
local map_pins = require "bpfd.map_pins"
local place = require "bpfd.place"
local tree = require "bpfd.tree"

local system <const> = core.system

local load_job = {}

local STEPS <const> = { "copy", "open", "verify", "pin", "attach" }
local is_chained <const> = { xdp = true, tc = true }

local function names_of(collection)
  local names = {}
  for name in pairs(collection) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- What the client gave, copied once: digest and load see the same bytes.
local function copy(plan)
  local sealed, err = system.seal(plan.source, plan.size_limit, plan.path)
  if not sealed then return nil, err end
  local digest
  digest, err = system.sha256(sealed)
  if not digest then return nil, err end
  plan.note.digest = "sha256:" .. digest
  return sealed
end

local function set_globals(plan, object)
  local known = object:globals()
  plan.note.global = {}
  for name, value in pairs(plan.global) do
    local facts = known[name]
    if not facts then
      local near = nearest(name, names_of(known))
      return nil, error_object.new { code = "ENOENT",
        message = ("there is no global variable %s in it"):format(name),
        advice = near and ("did you mean %s?"):format(near) or nil }
    end
    local bytes, err = global.fit(value, facts.size)
    if not bytes then return nil, err:because("setting global " .. name) end
    local good
    good, err = object:set_global(name, bytes)
    if not good then return nil, err:because("setting global " .. name) end
    plan.note.global[name] = (bytes:gsub(".", function(c) return ("%02X"):format(c:byte()) end))
  end
  return true
end

local kinds <const> = { tcx = "tc" }
local is_traced <const> = { fentry = true, fexit = true }

local function configure(plan, object)
  local attach <const> = plan.note.attach
  local good, err = object:choose { plan.name }
  if good then
    good, err = object:as(plan.name, kinds[attach.type] or attach.type,
      { fn_name = is_traced[attach.type] and attach.fn_name or nil })
  end
  if good then good, err = set_globals(plan, object) end
  if good then good, err = map_pins.share(plan, object) end
  return good, err
end

-- Pins the loaded program under staging, complete with its record; returns its id.
local function stage(plan, object, record)
  local program = object.programs[plan.name]
  local id <const> = program:info().id
  local directory <const> = ("%s/%d"):format(plan.staging, id)
  local good, err = tree.make(plan.staging)
  if good then good, err = tree.make(directory) end
  if good then good, err = map_pins.pin_used(program, directory) end
  local map
  if good then map, err = bpf.map.blob(record, "bpfd_record") end
  if not map then return nil, err end
  good, err = program:bind_map(map)
  if good then good, err = map:pin(directory .. "/record") end
  if good then good, err = program:pin(directory .. "/program") end
  if not good then return nil, err end
  return id, directory
end

-- From staging into place. What follows is undone by drop_program.
local function settle(plan, object, id, directory)
  local good, err = map_pins.publish(plan, object, id)
  if good then good, err = bpf.pin.rename(directory, plan.dirs:program(id)) end
  return good, err
end

local function drop_program(plan, id)
  bpf.pin.remove_tree(plan.dirs:program(id))
  bpf.pin.remove_tree(plan.dirs:maps(id))
end

local function outcome(plan, id, manifest)
  plan.note.record_map_id = select(2, tree.record(plan.dirs, id))
  return { id = id, note = plan.note, hook = plan.hook and plan.hook.name, manifest = manifest }
end

local function load_traced(plan, object)
  local attach <const> = plan.note.attach
  local good, err = object:load()
  if not good then return nil, err end
  plan.progress(3)
  local id, directory = stage(plan, object, json.encode(plan.note))
  if not id then return nil, directory end
  plan.progress(4)
  local link
  link, err = attaching.attach(object.programs[plan.name], attach, plan)
  if link then good, err = link:pin(directory .. "/link") end
  if link and good then good, err = settle(plan, object, id, directory) end
  if not link or not good then
    if link then link:close() end
    drop_program(plan, id)
    return nil, err
  end
  return outcome(plan, id)
end

local function new_manifest(plan, engine_name)
  local attach <const> = plan.note.attach
  return { engine = engine_name, type = attach.type, iface = attach.iface,
    ifindex = attach.ifindex, direction = attach.direction, netns = attach.netns, members = {} }
end

local function join_chain(plan, id, state, engine_name)
  local attach <const> = plan.note.attach
  local manifest = new_manifest(plan, engine_name)
  manifest.members = state.manifest and tree.living_members(plan.dirs, state.manifest) or {}
  table.insert(manifest.members, chain_change.place_for(manifest.members, attach.priority), {
    id = id, priority = attach.priority, mask = verdict.encode(attach.type, attach.proceed_on),
  })
  return chain_change.swap(plan.dirs, plan.hook.name, plan.hook, state, manifest,
    plan.engine_options)
end

local function load_member(plan, object, state, engine_name)
  local engine <const> = bpf.chain.engine(engine_name)
  local good, err = engine.prepare(object, plan.name, plan.hook)
  if good then good, err = object:load() end
  if not good then return nil, err end
  plan.progress(3)
  local record, id, directory, manifest
  record, err = engine.record(object, plan.name, json.encode(plan.note))
  if not record then return nil, err end
  id, directory = stage(plan, object, record)
  if not id then return nil, directory end
  good, err = settle(plan, object, id, directory)
  plan.progress(4)
  if good then manifest, err = join_chain(plan, id, state, engine_name) end
  if not manifest then
    drop_program(plan, id)
    return nil, err
  end
  return outcome(plan, id, manifest)
end

-- Which engines to try, in order. A hook keeps what runs on it.
local function engines_for(plan, state)
  local wanted <const>, kind <const> = plan.settings.engine, plan.note.attach.type
  if state.manifest and #tree.living_members(plan.dirs, state.manifest) > 0 then
    return { state.manifest.engine }
  end
  local usable, refusal = {}, nil
  for _, name in ipairs(wanted == "auto" and { "fuse", "freplace" } or { wanted }) do
    local good, err = bpf.chain.engine(name).available(kind)
    if good then usable[#usable + 1] = name else refusal = refusal or err end
  end
  if #usable > 0 then return usable end
  return nil, refusal:because(("choosing the engine %s"):format(wanted))
end

-- An object that is loaded cannot be loaded as something else: each try has one of its own.
local function fresh_object(plan, sealed)
  local object, err = bpf.object.open({ fd = sealed:fd() }, { name = plan.name })
  if not object then return nil, err end
  local good
  good, err = configure(plan, object)
  if not good then return nil, err end
  return object
end

local function load_chained(plan, sealed)
  local err
  plan.hook, err = place.hook(plan.note.attach, plan.settings)
  if not plan.hook then return nil, err end
  plan.note.attach.hook = plan.hook.name
  local state = chain_change.state(plan.dirs, plan.hook.name, plan.hook)
  local engines
  engines, err = engines_for(plan, state)
  if not engines then return nil, err end
  local result
  for _, engine_name in ipairs(engines) do
    local object
    object, err = fresh_object(plan, sealed)
    if not object then return nil, err end
    plan.progress(2)
    result, err = load_member(plan, object, state, engine_name)
    if result or err.code ~= "EOPNOTSUPP" then break end
  end
  return result, err
end

local function find_place(plan)
  local attach <const> = plan.note.attach
  if not attach.iface then return true end
  local good, err = place.enter(attach, plan.netns)
  if not good then return nil, err end
  attach.ifindex, err = place.interface(attach.iface)
  return attach.ifindex, err
end

local function work(plan)
  plan.progress(0)
  local sealed, err = copy(plan)
  if not sealed then return nil, err end
  plan.progress(1)
  local good
  good, err = find_place(plan)
  if good and not is_chained[plan.note.attach.type] then
    good, err = bpf.features.type(plan.note.attach.type)
  end
  if not good then return nil, err end
  if is_chained[plan.note.attach.type] then return load_chained(plan, sealed) end
  local object
  object, err = fresh_object(plan, sealed)
  if not object then return nil, err end
  plan.progress(2)
  return load_traced(plan, object)
end

--- Does it.
---@param plan table  dirs, source (descriptor), path, name, note, global, settings, size_limit,
---  engine_options, owner (facts of the program whose maps are shared), group, netns, target
---@param progress fun(step: string, done: integer, total: integer)
---@return table? outcome  id, note, hook, manifest
---@return bpf.error? err
function load_job.run(plan, progress)
  local pid <const> = system.identity().pid
  plan.note.job = pid
  plan.staging = plan.dirs:staging(pid)
  plan.progress = function(done) progress(STEPS[done + 1], done, #STEPS) end
  local result, err = work(plan)
  bpf.pin.remove_tree(plan.staging)
  if not result then
    return nil, err:because(("loading %s from %s"):format(plan.name, plan.path))
  end
  return result
end

return load_job
