-- The change of one hook's chain, in a job: build the new chain and pin what it needs; one
-- operation of the kernel; drop what was before. Until that operation the old chain is in force,
-- after it the new one; whatever else is pinned then is garbage, and the tree alone tells which.
-- Several hooks change together by doing each of these steps for all of them before the next.

local bpf = require "bpf"
local chain_state = require "bpfd.chain_state"
local shared_chain = require "bpfd.shared_chain"
local tree = require "bpfd.tree"

local chain_change = {}

---@class bpfd.chain_change
---@field name string       of the hook
---@field hook table        bpf.chain.hook
---@field state bpfd.chain_state
---@field manifest table|false  of the new chain; false: the hook has none afterwards
---@field build table?      the new chain; nil where nothing has to be built
---@field shared table?     bpfd.shared_chain.swap, where libxdp changes the chain too
local change = {}
change.__index = change

local function open_maps(dirs, id, maps)
  local directory <const> = dirs:program(id) .. "/maps"
  for _, map_id in ipairs(tree.ids(directory)) do
    if not maps[map_id] then
      local map, err = bpf.map.open_pin(("%s/%d"):format(directory, map_id))
      if not map then return nil, err end
      maps[map_id] = map
    end
  end
  return maps
end

local function open_member(dirs, member)
  if member.owner then return shared_chain.open_member(member) end
  local program, err = bpf.program.open_pin(dirs:program(member.id) .. "/program")
  if not program then return nil, err end
  local record, maps
  record, err = tree.record(dirs, member.id)
  if not record then return nil, err end
  if not member.name then
    local note
    note, err = tree.note_of(record)
    if not note then return nil, err end
    member.name = note.name
  end
  maps, err = open_maps(dirs, member.id, {})
  if not maps then return nil, err end
  return { id = member.id, name = member.name, mask = member.mask, priority = member.priority,
    program = program, record = record, maps = maps }
end

local function open_members(dirs, members)
  local opened = {}
  for i, member in ipairs(members) do
    local err
    opened[i], err = open_member(dirs, member)
    if not opened[i] then return nil, err:because(("opening member %d"):format(member.id)) end
  end
  return opened
end

-- Pins what the new chain needs.
local function pin_chain(self, manifest)
  local dirs <const> = self.dirs
  self.head = self.build.program:info().id
  self.directory = ("%s/%d"):format(dirs:chain(self.name), self.head)
  local good, err = tree.make(dirs:chain(self.name))
  if good then good, err = tree.make(self.directory) end
  if good then good, err = self.build:pin(self.directory) end
  if good then good, err = bpf.chain.manifest.pin(manifest, self.directory) end
  return good, err
end

local function build(self, manifest, options)
  local members, err = open_members(self.dirs, manifest.members)
  if not members then return nil, err end
  self.build, err = bpf.chain.engine(manifest.engine).build(self.hook, members,
    { tc_end = options.tc_end, version = manifest.dispatcher_version })
  if not self.build then return nil, err end
  manifest.replaces = self.state.shared and self.state.live or nil
  manifest.segments, manifest.tail_callers = self.build.segments, self.build.tail_callers
  local good
  good, err = pin_chain(self, manifest)
  if not good then
    self:discard()
    return nil, err
  end
  if self.shared then self.shared:take(self.build, self.head, members) end
  return self
end

--- Builds a chain for the hook; nothing runs it yet. Without a member the chain will be taken away.
---@param dirs table
---@param place { name: string, hook: table, enter: fun(): true?, bpf.error? }  enter: into the
---  namespace where the hook can be reached
---@param state bpfd.chain_state
---@param manifest table  of the new chain: engine, members = { { id, priority, mask } ... }
---@param options table   for the engine
---@return bpfd.chain_change? change, bpf.error? err
function chain_change.prepare(dirs, place, state, manifest, options)
  local self = setmetatable({
    dirs = dirs, name = place.name, hook = place.hook, enter = place.enter, state = state,
    manifest = #manifest.members > 0 and manifest,
    shared = manifest.shared and shared_chain.swap(place.hook, state) or nil,
  }, change)
  if state.live then
    local err
    self.before, err = bpf.program.open_id(state.live)
    if not self.before then return nil, err end
  end
  if not self.manifest then return self end
  return build(self, manifest, options)
end

--- A change of what no packet reaches any more: the members are others, and nothing is built.
---@param place table  as for `prepare`, and drop: a set of the ids that leave
---@return bpfd.chain_change
function chain_change.unreached(dirs, place, state, manifest)
  return setmetatable({
    dirs = dirs, name = place.name, hook = place.hook, enter = place.enter, state = state,
    manifest = shared_chain.count_own(manifest.members) > 0 and manifest, head = state.id,
    is_unreached = true, leaves = place.drop, ifindex = manifest.shared and manifest.ifindex,
  }, change)
end

local function link_path(self)
  return self.dirs:chain(self.name) .. "/link"
end

-- Puts a program where none runs, and pins the link that it gets.
local function attach(self, program)
  local link, mode = self.hook:attach(program)
  if not link then return nil, mode end
  if link ~= true then
    local pinned, err = link:pin(link_path(self))
    if not pinned then
      link:detach()
      return nil, err
    end
  end
  self.link, self.attached_as = link, mode
  return true
end

local function attach_anew(self)
  local severed <const> = self.state.severed_link
  if severed then
    local good, err = bpf.pin.unlink(link_path(self))
    if not good then return nil, err end
  end
  local good, err = attach(self, self.build.program)
  if not good and severed then severed:pin(link_path(self)) end
  return good, err
end

--- Whether it puts a program on a hook where nothing of ours runs.
---@return boolean
function change:attaches()
  return self.build ~= nil and not self.state.live
end

--- The one operation.
---@return true? ok, bpf.error? err
function change:commit()
  local state <const>, good, err = self.state, self.enter()
  if not good then return nil, err end
  if self.shared then
    good, err = self.shared:commit()
    self.attached_as = good or nil
  elseif self:attaches() then
    good, err = attach_anew(self)
  elseif self.build then
    good, err = self.hook:replace(state.link, self.build.program, state.live)
  elseif state.live and not self.manifest and not self.is_unreached then
    good, err = self.hook:detach(state.link, state.live)
  end
  if good then self.committed = true end
  return good, err
end

local function take_back(self)
  local state <const> = self.state
  local good, err = self.enter()
  if not good then return nil, err end
  if self.shared then
    good, err = self.shared:undo(self.before)
  elseif self:attaches() then
    good, err = self.hook:detach(self.link, self.head)
    if good and self.link ~= true then good, err = bpf.pin.unlink(link_path(self)) end
    if good and state.severed_link then good, err = state.severed_link:pin(link_path(self)) end
  elseif self.build then
    good, err = self.hook:replace(state.link, self.before, self.head)
  elseif state.live and not self.manifest and not self.is_unreached then
    if state.link then good, err = bpf.pin.unlink(link_path(self)) end
    if good then good, err = attach(self, self.before) end
  end
  return good, err
end

--- Lets go of a chain that has not been put in force.
function change:discard()
  if self.build then self.build:close() end
  if self.directory then bpf.pin.remove_tree(self.directory) end
  if #tree.names(self.dirs:chain(self.name)) == 0 then
    bpf.pin.remove_tree(self.dirs:chain(self.name))
  end
end

--- The chain before is in force again.
---@return true? ok, bpf.error? err
function change:undo()
  if not self.committed then return true end
  local good, err = take_back(self)
  if good then self.committed = false end
  return good, err
end

--- Whether packets may still need pins of the chain before. One fused program keeps itself alive
--- for them; segments and slots live by their pins.
---@return boolean
function change:needs_grace()
  local before <const> = self.state.manifest
  return self.state.live ~= nil and before ~= nil
    and (before.segments ~= 1 or before.engine ~= "fuse")
end

-- Of XDP: what the attaching told or, after an update, the kernel; nil where neither can.
local function xdp_mode(self)
  if self.manifest.type ~= "xdp" then return nil end
  if self.attached_as then return self.attached_as end
  if self.hook.ifindex == 0 or not self.enter() then return nil end
  local _, mode = self.hook:running()
  return type(mode) == "string" and mode or nil
end

-- Of a committed change: the program that the hook runs now.
function change:running()
  if self.build then return self.head end
  return self.is_unreached and self.state.live or nil
end

--- Drops what was before, once no packet needs it.
---@return table|false|nil manifest  with what was found out; false: no chain is left
---@return bpf.error? err
function change:finish()
  local good, err = true, nil
  if self.shared then good, err = self.shared:finish() end
  if self.is_unreached and self.ifindex then
    good, err = shared_chain.drop_strays(self.ifindex, self.leaves, self.state.live)
  end
  if good and self.build then
    good, err = chain_state.drop_others(self.dirs, self.name, self.head, true)
  end
  -- where only others are left, nothing of ours is kept of the chain
  if good and (not self.manifest or shared_chain.count_own(self.manifest.members) == 0) then
    good, err = chain_state.forget(self.dirs, self.name, self:running())
    return good and false, err
  end
  if not good then return nil, err end
  if self.build then
    self.manifest.head = self.head
    self.manifest.xdp_mode = xdp_mode(self)
  end
  return self.manifest
end

return chain_change
