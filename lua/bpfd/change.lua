-- Changes of what runs, of any number of programs at once: one job, then one transaction of the
-- index.

local core = require "bpf.core"
local addition = require "bpfd.addition"
local consult = require "bpfd.consult"
local index = require "bpfd.index"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local reconcile = require "bpfd.reconcile"

local change = {}

local is_ordered <const> = { xdp = true, tc = true, tcx = true }

-- Both directions of an interface share its clsact. Namespaces other than ours share one lock.
local function hook_key(attach)
  if not is_ordered[attach.type] then return nil end
  if attach.netns then return attach.type .. ":other namespaces" end
  return ("%s:%d"):format(attach.type, attach.ifindex)
end

--- What has to be held while a program comes or goes.
---@param attach table
---@param map_owner integer?
---@return string[]
function change.keys(attach, map_owner)
  local keys = { map_owner and "maps:" .. map_owner }
  local key <const> = hook_key(attach)
  if key then keys[#keys + 1] = key end
  return keys
end

--- Whether nothing changes this hook now.
function change.is_free(daemon, hook_name)
  if lock.is_alone() then return false end
  local manifest = daemon.store:chain(hook_name)
  return not manifest or not lock.is_held(hook_key(manifest))
end

-- What of a program that goes is removed with it beside its directory: the maps that a sharer has
-- beside its owner's; and, with their last user, all others.
local function add_directories(daemon, drop, add)
  local leaves, shared = {}, {}
  for _, member in ipairs(drop) do leaves[member.id] = true end
  for _, one in ipairs(add) do shared[one.note.map_owner_id or false] = true end
  for _, member in ipairs(drop) do
    local dirs <const>, owner <const> = daemon.directories, member.map_owner_id or member.id
    member.users = {}
    member.own_maps = owner ~= member.id and dirs:maps(member.id) or nil
    local stay = shared[owner]
    for _, user in ipairs(daemon.store:map_users(owner)) do
      if leaves[user] then table.insert(member.users, user) else stay = true end
    end
    if not stay then member.maps = dirs:maps(owner) end
  end
end

--- A program that runs, as a plan names it.
---@param row table  of the store
function change.member(daemon, row)
  local attach <const> = row.note.attach
  local settings <const> = attach.iface and daemon.config:interface(attach.iface)
  return { id = row.id, note = row.note, hook_name = row.hook, map_owner_id = row.map_owner_id,
    settings = settings or nil, engine_options = settings and addition.engine_options(settings) }
end

-- Descriptors that the job needs, each once.
local function kept_descriptors(plan)
  local kept, seen = {}, {}
  local function keep(descriptor)
    if type(descriptor) ~= "userdata" or seen[descriptor] then return end
    seen[descriptor] = true
    kept[#kept + 1] = descriptor
  end
  for _, one in ipairs(plan.add) do
    keep(one.source)
    keep(one.target)
    keep(one.netns)
  end
  return kept
end

local function mend_hooks(daemon, plan)
  for _, one in ipairs(plan.add) do
    local known <const> = one.note.attach.ifindex and daemon:hook_of(one.note.attach)
    if known then daemon.hooks:mend(known) end
  end
  for _, members in ipairs { plan.drop, plan.keep, plan.attach } do
    for _, member in ipairs(members) do
      if member.hook_name then daemon.hooks:mend(member.hook_name) end
    end
  end
end

local function hold_hooks(daemon, outcome)
  for hook_name in pairs(outcome.chains) do daemon.hooks:hold(hook_name) end
end

-- What of a change goes into the store.
local function entries(daemon, plan, outcome)
  return function()
    if plan.before then plan.before() end
    for _, one in ipairs(outcome.added) do
      index.put_program(daemon, one.id, one.note, one.hook)
    end
    for _, member in ipairs(plan.drop) do daemon.store:remove_program(member.id) end
    if plan.also then plan.also() end
    for hook_name, manifest in pairs(outcome.chains) do
      index.put_chain(daemon, hook_name, manifest, { places = #plan.keep > 0 })
    end
  end
end

-- What change_job wants of a plan, and nothing of what the daemon itself does before and after.
local function work_of(plan)
  return { run_dir = plan.dirs.run_dir, group = plan.group, mark = plan.mark, add = plan.add,
    drop = plan.drop, attach = plan.attach, keep = plan.keep }
end

-- `answer` is to what the job asks of the policies; nil where they are not asked.
local function run_job(request, plan, answer)
  plan.mark = core.system.clock "monotonic"
  return request:run({ module = "bpfd.change_job", arguments = work_of(plan) },
    { keep = kept_descriptors(plan), answer = answer })
end

-- What has come and cannot be written down is taken back. Where something has gone for it, that
-- cannot be: the change has happened, and only the index lags behind.
local function take_back(daemon, request, outcome)
  request.cancelled = nil
  local plan = { dirs = daemon.directories, add = {}, drop = {}, keep = {}, attach = {} }
  for _, one in ipairs(outcome.added) do
    table.insert(plan.drop, change.member(daemon, { id = one.id, note = one.note, hook = one.hook,
      map_owner_id = one.note.map_owner_id }))
  end
  add_directories(daemon, plan.drop, {})
  local taken, err = run_job(request, plan)
  if not taken then
    log.error("what came could not be taken back: %s", tostring(err))
    return
  end
  hold_hooks(daemon, taken)
end

local function remember(daemon, request, plan, outcome)
  local write <const> = entries(daemon, plan, outcome)
  local good, err = index.write(daemon, write)
  hold_hooks(daemon, outcome)
  if good then return outcome end
  if #plan.drop + #plan.keep + #plan.attach == 0 then
    take_back(daemon, request, outcome)
    return nil, err:because "writing the change down"
  end
  index.write_later(daemon, write, err)
  return outcome
end

local function has_priority(daemon, member)
  local row <const> = daemon.store:program(member.id)
  return row ~= nil and row.note.attach.priority == member.note.attach.priority
end

-- Of a change that has happened, those that have yet to leave: programs with links of their own do
-- when nothing can be refused any more. Nil where it has not happened, or not on every hook.
local function yet_to_leave(daemon, plan, settled)
  local left, happened = {}, #plan.add > 0
  if #settled.added < #plan.add then return nil end
  for _, member in ipairs(plan.keep) do
    if not has_priority(daemon, member) then return nil end
    happened = happened or member.moves
  end
  for _, member in ipairs(plan.drop) do
    local runs <const> = daemon.store:program(member.id) ~= nil
    if runs and member.hook_name then return nil end
    if runs then table.insert(left, member) end
    happened = happened or not runs
  end
  return (happened or #left == 0) and left or nil
end

local run ---@type fun(daemon: table, request: table, plan: table): table?, bpf.error?

-- The rest of a change whose job has died behind the last hook.
local function let_leave(daemon, request, plan, left)
  if #left == 0 then return true end
  request.cancelled = nil
  return run(daemon, request, { add = {}, drop = left, keep = {}, attach = {}, dirs = plan.dirs,
    group = plan.group, is_fact = true })
end

function run(daemon, request, plan)
  for _, member in ipairs(plan.keep) do member.moves = not has_priority(daemon, member) end
  add_directories(daemon, plan.drop, plan.add)
  mend_hooks(daemon, plan)
  local answer <const> = not plan.is_fact and consult.about(daemon, request, plan) or nil
  local outcome, err, died = run_job(request, plan, answer)
  if outcome then return remember(daemon, request, plan, outcome) end
  if not died then return nil, err end
  local settled = reconcile.settle(daemon, died, plan)
  local left <const> = settled and yet_to_leave(daemon, plan, settled)
  if not left or not let_leave(daemon, request, plan, left) then return nil, err end
  local function write()
    if plan.before then plan.before() end
    if plan.also then plan.also() end
  end
  local good, failure = index.write(daemon, write)
  if not good then index.write_later(daemon, write, failure) end
  return settled
end

--- Makes it so, all or nothing, while the caller holds the locks (`change.keys`) of all that is in
--- it.
---@param daemon table
---@param request table  that the work belongs to
---@param plan { add: bpfd.addition[]?, drop: table[]?, keep: table[]?, attach: table[]?,
---  before: fun()?, also: fun()?, is_fact: boolean?, is_alone: boolean? }  as in bpfd.change_job;
---  drop, keep and attach by `change.member`; before and also: write into the same transaction,
---  before and after the rest; is_fact: it has happened, and no policy is asked; is_alone: the
---  caller has lock.tree_alone
---@return { added: { id: integer, note: table }[], chains: table }? outcome  added: in the order
---  of plan.add
---@return bpf.error? err
function change.run(daemon, request, plan)
  local held <close> = not plan.is_alone and lock.tree() or nil -- luacheck: ignore held
  for _, list in ipairs { "add", "drop", "keep", "attach" } do plan[list] = plan[list] or {} end
  plan.dirs, plan.group = daemon.directories, daemon.group
  local outcome, err = run(daemon, request, plan)
  consult.tell_change(daemon, request, plan, outcome, err)
  return outcome, err
end

return change
