-- What policies are asked of a change before anything of it is verified, and told of its end.

local amendment = require "bpf.policy.amendment"
local error_object = require "bpf.error"
local verdict = require "bpf.verdict"
local chain_order = require "bpfd.chain_order"
local foreign_chains = require "bpfd.foreign_chains"
local policy_event = require "bpfd.policy.event"

local consult = {}

local is_chained <const> = { xdp = true, tc = true }

-- What of a program's note was asked for; the rest is bookkeeping of ours.
local asked_fields <const> = { "name", "attach", "metadata", "global", "map_owner_id", "persist",
  "path", "image_url", "pull_policy", "label", "declared_by" }

local function fields_of(note, more)
  local fields = {}
  for _, key in ipairs(asked_fields) do fields[key] = note[key] end
  for key, value in pairs(more or {}) do fields[key] = value end
  return fields
end

local function program_of(member)
  local note <const> = member.note
  return fields_of(note, { id = member.id, type = note.type, digest = note.digest,
    signed_by = note.signed_by })
end

local place_fields <const> = { "type", "iface", "ifindex", "direction", "netns" }

local function place_of(attach)
  local place = {}
  for _, key in ipairs(place_fields) do place[key] = attach[key] end
  return place
end

-- New members have no id yet; until they do they go by their place in the plan, below zero.
local function wanted_by(plan, hook)
  local put = {}
  for _, at in ipairs(hook.adds) do
    local attach <const> = plan.add[at].note.attach
    put[#put + 1] = { id = -at, replaces = plan.add[at].replaces, priority = attach.priority,
      mask = verdict.encode(attach.type, attach.proceed_on), rank = plan.add[at].rank or at }
  end
  for _, at in ipairs(hook.keeps) do
    local member <const> = plan.keep[at]
    local attach <const> = member.note.attach
    put[#put + 1] = { id = member.id, priority = attach.priority,
      mask = verdict.encode(attach.type, attach.proceed_on), rank = member.rank or 0 }
  end
  table.sort(put, function(a, b) return a.rank < b.rank end)
  return put
end

-- A chain as events show it. `notes`: of members that are known already.
local function shown(asker, hook, members)
  local daemon <const>, plan <const>, notes <const> = asker.daemon, asker.plan, asker.notes
  local list = {}
  for at, member in ipairs(members) do
    local added <const> = plan.add[-member.id]
    if not added and not notes[member.id] then
      local row <const> = daemon.store:program(member.id)
      notes[member.id] = row and row.note or {}
    end
    local note <const> = added and added.note or notes[member.id]
    list[at] = { position = at - 1, id = not added and member.id or nil,
      new = added and true or nil, name = note.name, metadata = note.metadata,
      owner = member.owner, priority = member.priority,
      proceed_on = foreign_chains.proceed_on(hook.attach, member) }
  end
  return list
end

local function chain_of(asker, hook)
  local drop = {}
  for _, id in ipairs(hook.drops) do drop[id] = true end
  local members <const> = chain_order.arrange(hook.members,
    { drop = drop, put = wanted_by(asker.plan, hook) })
  return { now = shown(asker, hook, hook.members), next = shown(asker, hook, members) }
end

-- Changes that the policies' process has sent are made only if a request could have asked for them.
local function amend(note, amended)
  local made = {}
  for _, change in ipairs(amended) do
    local checked, complaint = amendment.check(note, change)
    if complaint then
      return nil, error_object.new { code = "EINVAL", hook = tostring(change.hook),
        message = ("the policy %s amends what cannot be: %s"):format(tostring(change.hook),
          complaint) }
    end
    if checked then
      checked.hook = change.hook
      amendment.apply(note, checked)
      made[#made + 1] = checked
    end
  end
  return made
end

local function hook_with(facts, list, value)
  for _, hook in ipairs(facts.hooks) do
    for _, one in ipairs(hook[list]) do
      if one == value then return hook end
    end
  end
  return nil
end

-- What the job has learned of the image, into the note; the rest is the event's.
local function take_image(note, facts)
  if not facts then return nil end
  note.name, note.image_url, note.pull_policy = facts.name, facts.image_url, facts.pull_policy
  return { image_url = facts.image_url, digest = facts.digest, signed_by = facts.signed_by }
end

local function decide_addition(asker, at, facts)
  local addition <const> = asker.plan.add[at]
  local note <const>, hook <const> = addition.note, hook_with(facts, "adds", at)
  note.attach.ifindex = facts.additions[at].ifindex
  local image <const> = take_image(note, facts.additions[at].image)
  local outcome, err = asker.decide(addition.replaces and "program.replace" or "program.load",
    fields_of(note, { replaces = addition.replaces, object = facts.additions[at].object,
      image = image, chain = hook and chain_of(asker, hook) }))
  if not outcome then return nil, err end
  local amended
  amended, err = amend(note, outcome.amended)
  if amended and #amended > 0 then note.amended = amended end
  return amended, err
end

local function is_replaced(plan, id)
  for _, addition in ipairs(plan.add) do
    if addition.replaces == id then return true end
  end
  return nil
end

-- What is replaced goes, too: who decides of unloads is asked.
local function fields_of_drop(plan, member, chain)
  return { id = member.id, program = program_of(member), attach = member.note.attach,
    replaced = is_replaced(plan, member.id), chain = chain }
end

local function decide_drop(asker, member, facts)
  local hook <const> = hook_with(facts, "drops", member.id)
  return asker.decide("program.unload", fields_of_drop(asker.plan, member,
    hook and chain_of(asker, hook)))
end

local function decide_chain(asker, hook)
  return asker.decide("chain.change", { cause = asker.method, attach = place_of(hook.attach),
    chain = chain_of(asker, hook) })
end

-- All questions that a change gives rise to. What is amended stands in `amended`, by the place of
-- the addition; where one is denied, `denied` says why and `at` which addition is to blame.
local function decide_all(asker, facts)
  local amended = {}
  for at in ipairs(asker.plan.add) do
    local made, err = decide_addition(asker, at, facts)
    if not made then return { denied = err, at = at } end
    amended[at] = made
  end
  for _, member in ipairs(asker.plan.drop) do
    local good, err = decide_drop(asker, member, facts)
    if not good then return { denied = err } end
  end
  for _, hook in ipairs(facts.hooks) do
    local good, err = decide_chain(asker, hook)
    if not good then return { denied = err, at = hook.adds[1] } end
  end
  return { amended = amended }
end

local function peer_of(request) return request.peer or policy_event.own_peer() end

--- The answer to the question that a change's job asks when it knows what is loaded, and where to;
--- nil where there is no policy.
---@param request table
---@param plan bpfd.change_plan
---@return (fun(facts: table): table)?
function consult.about(daemon, request, plan)
  if not daemon.policy:wants "chain.change" then return nil end
  local asker = { daemon = daemon, plan = plan, method = request.method, notes = {} }
  function asker.decide(on, fields)
    return daemon.policy:decide(policy_event.new(on, peer_of(request), fields))
  end
  return function(facts) return decide_all(asker, facts) end
end

--- Asks whether something that changes nothing that runs may be; true where nobody objects.
---@param on string
---@param fields table
---@return table|true|nil ok, bpf.error? err
function consult.allowed(daemon, request, on, fields)
  if not daemon.policy:wants(on) then return true end
  return daemon.policy:decide(policy_event.new(on, peer_of(request), fields))
end

-- The name of the event that tells how something has ended, if a hook wants to hear of it.
local function ending(daemon, on, err)
  local what <const> = on .. (err and ".failed" or ".done")
  return daemon.policy:wants(what) and what or nil
end

--- Tells how something that was asked for has ended.
---@param on string
---@param fields table
---@param err bpf.error?  nil: it is done
function consult.tell(daemon, request, on, fields, err)
  local what <const> = ending(daemon, on, err)
  if not what then return end
  fields.error = err and { code = err.code, message = tostring(err), hook = err.hook } or nil
  daemon.policy:tell(what, peer_of(request), fields)
end

local function tell_chains(daemon, request, plan, err)
  if not ending(daemon, "chain.change", err) then return end
  local told = {}
  for _, list in ipairs { plan.add, plan.drop, plan.keep } do
    for _, one in ipairs(list) do
      local place <const> = place_of(one.note.attach)
      local key <const> = ("%s %s %s %s"):format(place.type, place.ifindex, place.direction,
        place.netns)
      if is_chained[place.type] and not told[key] then
        told[key] = true
        consult.tell(daemon, request, "chain.change", { cause = request.method, attach = place },
          err)
      end
    end
  end
end

local function tell_addition(daemon, request, addition, added, err)
  local on <const> = addition.replaces and "program.replace" or "program.load"
  if not ending(daemon, on, err) then return end
  local fields = added and program_of(added) or fields_of(addition.note)
  fields.amended, fields.replaces = added and added.note.amended, addition.replaces
  consult.tell(daemon, request, on, fields, err)
end

-- An image that is not there yet is pulled, and then the change is tried again.
local function is_tried_again(plan, err)
  local image <const> = plan.add[1] and plan.add[1].image
  return err and err.code == "ENODATA" and image and image.policy == "IfNotPresent"
    and not image.digest
end

--- Tells how a change has ended.
---@param plan bpfd.change_plan
---@param outcome table?  of bpfd.change
---@param err bpf.error?
function consult.tell_change(daemon, request, plan, outcome, err)
  if outcome then err = nil end
  if is_tried_again(plan, err) then return end
  for at, addition in ipairs(plan.add) do
    tell_addition(daemon, request, addition, outcome and outcome.added[at], err)
  end
  for _, member in ipairs(plan.drop) do
    if ending(daemon, "program.unload", err) then
      consult.tell(daemon, request, "program.unload", fields_of_drop(plan, member), err)
    end
  end
  tell_chains(daemon, request, plan, err)
end

return consult
