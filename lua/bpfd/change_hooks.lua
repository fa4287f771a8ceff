-- The hooks that a change touches, in its job: where they are, what runs there, and the chain that
-- each of them gets.

local bpf = require "bpf"
local verdict = require "bpf.verdict"
local chain_change = require "bpfd.chain_change"
local chain_order = require "bpfd.chain_order"
local chain_state = require "bpfd.chain_state"
local engine_choice = require "bpfd.engine_choice"
local place = require "bpfd.place"
local shared_chain = require "bpfd.shared_chain"
local tree = require "bpfd.tree"

local change_hooks = {}

local is_chained <const> = { xdp = true, tc = true }

---@class bpfd.touched_hook
---@field name string
---@field hook table
---@field attach table       where it is: of an addition, else of a member
---@field settings table     of the interface
---@field engine_options table
---@field state bpfd.chain_state
---@field put table[]        additions and members that stay, in the wanted order
---@field drop table<integer, boolean>
---@field adds boolean?      something new comes
---@field attaches boolean?  it is built and attached anew
---@field engines string[]?  that may be tried for what is added, the next one first
local touched = {}
touched.__index = touched

-- Into the namespace of an attach table, from whichever the job is in.
local function enter(home, attach, netns)
  if attach.netns then return place.enter(attach, netns) end
  return bpf.network.enter(home:fd())
end

change_hooks.enter = enter

local function add(hooks, name, fields)
  local self = setmetatable(fields, touched)
  self.name, self.put, self.drop = name, {}, {}
  hooks.by_name[name] = self
  table.insert(hooks, self)
  return self
end

-- Where an addition goes. What is no member of a chain has no hook, but may have an interface.
local function find_addition(hooks, plan, addition)
  local attach <const> = addition.note.attach
  if not attach.iface then return true end
  local good, err = enter(hooks.home, attach, addition.netns)
  if not good then return nil, err end
  attach.ifindex, err = place.interface(attach.iface)
  if not attach.ifindex then return nil, err end
  addition.note.interface_id = bpf.network.identity(attach.ifindex)
  if not is_chained[attach.type] then return true end
  local hook
  hook, err = place.hook(attach, addition.settings)
  if not hook then return nil, err end
  attach.hook = hook.name
  local found = hooks.by_name[hook.name] or add(hooks, hook.name, {
    hook = hook, attach = attach, settings = addition.settings,
    engine_options = addition.engine_options, state = chain_state.read(plan.dirs, hook.name, hook),
    enter = function() return enter(hooks.home, attach, addition.netns) end,
  })
  found.adds = true
  hooks.of[addition] = found
  table.insert(found.put, addition)
  return true
end

-- The hook of a member, if it can still be reached: its namespace may be gone, or another have its
-- place.
local function reach(hooks, plan, member)
  local attach <const> = member.note.attach
  local hook
  if enter(hooks.home, attach) then hook = place.hook(attach, member.settings) end
  if hook and hook.name ~= member.hook_name then hook = nil end
  return add(hooks, member.hook_name, {
    hook = hook or place.unreachable(attach), attach = attach, settings = member.settings,
    engine_options = member.engine_options,
    state = chain_state.read(plan.dirs, member.hook_name, hook, member.manifest),
    enter = function()
      return hook and enter(hooks.home, attach) or bpf.network.enter(hooks.home:fd())
    end,
  })
end

local function hook_of_member(hooks, plan, member)
  return hooks.by_name[member.hook_name] or reach(hooks, plan, member)
end

local function by_rank(a, b) return a.rank < b.rank end

-- Additions in the order of the plan where that gives no ranks.
local function sort_wanted(self)
  for at, wanted in ipairs(self.put) do wanted.rank = wanted.rank or at end
  table.sort(self.put, by_rank)
end

--- Finds them all.
---@param plan bpfd.change_plan
---@param home table  descriptor of the daemon's own network namespace
---@return table? hooks  a list of bpfd.touched_hook; `of` an addition: its hook
---@return bpf.error? err
---@return bpfd.addition? culprit
function change_hooks.find(plan, home)
  local hooks = { home = home, by_name = {}, of = {} }
  for _, addition in ipairs(plan.add) do
    local good, err = find_addition(hooks, plan, addition)
    if not good then return nil, err, addition end
  end
  for _, member in ipairs(plan.drop) do
    if member.hook_name then hook_of_member(hooks, plan, member).drop[member.id] = true end
  end
  for _, member in ipairs(plan.attach) do
    local hook <const> = hook_of_member(hooks, plan, member)
    hook.attaches = true
    hook.state.manifest = hook.state.manifest or member.manifest
  end
  for _, member in ipairs(plan.keep) do
    table.insert(hook_of_member(hooks, plan, member).put, member)
  end
  for _, hook in ipairs(hooks) do
    sort_wanted(hook)
    local err
    if hook.adds then hook.engines, err = engine_choice.engines(plan.dirs, hook) end
    if err then return nil, err, hook:culprit() end
  end
  return hooks
end

--- The engine that is to be tried.
function touched:engine()
  return bpf.chain.engine(self.engines[1])
end

--- What to blame for a chain that cannot be built, if that is one addition.
---@return bpfd.addition?
function touched:culprit()
  local found
  for _, wanted in ipairs(self.put) do
    if wanted.source then
      if found then return nil end
      found = wanted
    end
  end
  return found
end

local function wanted_members(self)
  local wanted = {}
  for i, one in ipairs(self.put) do
    local attach <const> = one.note.attach
    wanted[i] = { id = one.id, replaces = one.replaces, priority = attach.priority,
      mask = verdict.encode(attach.type, attach.proceed_on) }
  end
  return wanted
end

local function new_manifest(self, members)
  local attach <const>, before <const> = self.attach, self.state.manifest
  if before and not self.adds then
    local manifest = {} -- what was before is still asked for
    for key, value in pairs(before) do manifest[key] = value end
    manifest.members, manifest.stopped, manifest.foreign = members, nil, nil
    return manifest
  end
  return engine_choice.share(self, {
    engine = self.engines and self.engines[1], type = attach.type, iface = attach.iface,
    ifindex = attach.ifindex, direction = attach.direction, netns = attach.netns,
    members = members })
end

-- Where what runs is what is wanted: no change, but for a chain that has only others left.
local function leave(self, dirs)
  local state <const> = self.state
  if not state.shared or shared_chain.count_own(state.manifest.members) > 0 then return false end
  return chain_change.unreached(dirs, self, state, state.manifest)
end

--- Reads anew what runs there, after somebody else has been faster.
---@param dirs table
---@return boolean? changed  whether it is a chain that libxdp changes too
---@return bpf.error? err
function touched:look_again(dirs)
  local good, err = self.enter()
  if not good then return nil, err end
  local was_shared <const> = self.state.shared ~= nil
  self.state = chain_state.read(dirs, self.name, self.hook)
  if self.adds then self.engines, err = engine_choice.engines(dirs, self) end
  if err then return nil, err end
  return was_shared or self.state.shared ~= nil
end

--- Builds the chain that is to run there.
---@param dirs table
---@return bpfd.chain_change|false|nil change  false: what runs is what is wanted
---@return bpf.error? err
function touched:prepare(dirs)
  local good, err = self.enter()
  if not good then return nil, err end
  local state <const> = self.state
  local living = state.manifest and tree.living_members(dirs, state.manifest) or {}
  local members = chain_order.arrange(living, { drop = self.drop, put = wanted_members(self) })
  if state.live and state.manifest and not self.attaches
      and chain_order.equal(members, state.manifest.members) then
    return leave(self, dirs)
  end
  if state.refusal then return nil, state.refusal end
  local manifest
  manifest, err = new_manifest(self, members)
  if not manifest then return nil, err end
  -- what no packet reaches any more is not built anew
  if not state.live and not self.adds and not self.attaches then
    return chain_change.unreached(dirs, self, state, manifest)
  end
  return chain_change.prepare(dirs, self, state, manifest, self.engine_options)
end

return change_hooks
