-- What a change's job tells the daemon, for its policies to judge, before anything is verified: the
-- very bytes that are to be loaded, and the hooks that they are for.

local core = require "bpf.core"
local error_object = require "bpf.error"
local amendment = require "bpf.policy.amendment"
local loading = require "bpfd.loading"
local tree = require "bpfd.tree"

local judging = {}

local function object_facts(addition, sealed)
  local object, err = loading.parse(addition, sealed)
  if not object then return nil, err end
  local facts = { digest = addition.note.digest, size = core.system.facts(sealed).size,
    license = object.license, programs = {}, maps = {} }
  for name, program in pairs(object.programs) do
    local helpers
    helpers, err = object:helpers(name)
    if not helpers then return nil, err end
    facts.programs[name] = { type = program.type, section = program.section, helpers = helpers }
  end
  for name, map in pairs(object.maps) do
    facts.maps[name] = { type = map.type, key_size = map.key_size, value_size = map.value_size,
      max_entries = map.max_entries }
  end
  return facts
end

-- What the store knew, and the daemon does not yet.
local function image_facts(addition)
  local note <const> = addition.note
  return addition.image and { image_url = note.image_url, digest = note.image_digest,
    signed_by = note.signed_by, name = note.name, pull_policy = note.pull_policy }
end

local function place_in(list, one)
  for place, other in ipairs(list) do
    if other == one then return place end
  end
  return nil
end

-- By places in the plan and ids: what JSON carries.
local function hook_facts(plan, hook)
  local manifest <const> = hook.state.manifest
  local facts = { attach = hook.attach, adds = {}, keeps = {}, drops = {},
    members = manifest and tree.living_members(plan.dirs, manifest) or {} }
  for _, one in ipairs(hook.put) do
    local place <const> = place_in(plan.add, one)
    table.insert(place and facts.adds or facts.keeps, place or place_in(plan.keep, one))
  end
  for id in pairs(hook.drop) do table.insert(facts.drops, id) end
  return facts
end

local function question(job)
  local asked = { additions = {}, hooks = {} }
  for place, addition in ipairs(job.plan.add) do
    local sealed, object, err
    sealed, err = loading.copy(addition, job.copies)
    if sealed then object, err = object_facts(addition, sealed) end
    if not object then return nil, err, addition end
    asked.additions[place] = { object = object, image = image_facts(addition),
      ifindex = addition.note.attach.ifindex }
  end
  for place, hook in ipairs(job.hooks) do asked.hooks[place] = hook_facts(job.plan, hook) end
  return asked
end

--- Asks; what is amended is changed in the plan's notes.
---@param job table  of bpfd.change_job, its hooks found
---@param ask fun(question: table): table?, bpf.error?
---@return true? ok, bpf.error? err, bpfd.addition? culprit
function judging.ask(job, ask)
  local asked, err, culprit = question(job)
  if not asked then return nil, err, culprit end
  local answer
  answer, err = ask(asked)
  if not answer then return nil, err end
  if answer.denied then
    return nil, error_object.new(answer.denied), job.plan.add[answer.at]
  end
  for place, changes in ipairs(answer.amended) do
    local note = job.plan.add[place].note
    for _, change in ipairs(changes) do amendment.apply(note, change) end
    if #changes > 0 then note.amended = changes end
  end
  return true
end

return judging
