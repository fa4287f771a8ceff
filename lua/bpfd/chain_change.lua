-- The change of one hook's chain, in a job: build the new chain, pin what it needs, one operation
-- of the kernel, drop what was before. Until that operation the old chain is in force, and after it
-- the new one; whatever else is pinned then is garbage, and the tree alone tells which.

local bpf = require "bpf"
local tree = require "bpfd.tree"

local chain_change = {}

---@class bpfd.chain_state
---@field link table?       the hook's link
---@field live integer?     id of the program that the hook runs
---@field manifest table?   of the chain in force, or of the last one where the interface is gone
---@field id integer?       of that chain's head: the name of its directory
---@field directory string? where that is pinned

-- Without a link or a filter that tells, the youngest chain is the last that was in force.
local function last_of(ids)
  return ids[#ids]
end

local function is_in(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

--- What runs at a hook and what is pinned for it.
---@param dirs table
---@param hook_name string
---@param hook table?  for what no link tells; nil when it cannot be reached
---@return bpfd.chain_state
function chain_change.state(dirs, hook_name, hook)
  local state = { ids = tree.ids(dirs:chain(hook_name)) }
  local link, info = tree.hook_link(dirs, hook_name)
  if link and info and not info.severed then
    state.link, state.live = link, info.prog_id
  elseif link then
    state.severed_link, state.last = link, info and info.prog_id
  else
    local running = hook and hook:running()
    state.live = is_in(state.ids, running) and running or nil
  end
  local last = state.live or state.last or last_of(state.ids)
  if last and is_in(state.ids, last) then
    state.id = last
    state.directory = ("%s/%d"):format(dirs:chain(hook_name), last)
    state.manifest = bpf.chain.manifest.read(state.directory)
  end
  return state
end

-- Drops every chain of the hook's but the one with this id; nil drops them all.
local function drop_others(dirs, hook_name, kept)
  for _, id in ipairs(tree.ids(dirs:chain(hook_name))) do
    if id ~= kept then
      local good, err = bpf.pin.remove_tree(("%s/%d"):format(dirs:chain(hook_name), id))
      if not good then return nil, err end
    end
  end
  return true
end
chain_change.drop_others = drop_others

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
  local program, err = bpf.program.open_pin(dirs:program(member.id) .. "/program")
  if not program then return nil, err end
  local record, note, maps
  record, err = tree.record(dirs, member.id)
  if not record then return nil, err end
  note, err = tree.note(dirs, member.id)
  if not note then return nil, err end
  maps, err = open_maps(dirs, member.id, {})
  if not maps then return nil, err end
  return { id = member.id, name = note.name, mask = member.mask, priority = member.priority,
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

-- Pins what the new chain needs. Returns its directory.
local function pin_chain(dirs, hook_name, build, manifest)
  local head <const> = build.program:info().id
  local directory <const> = ("%s/%d"):format(dirs:chain(hook_name), head)
  local good, err = tree.make(dirs:chain(hook_name))
  if good then good, err = tree.make(directory) end
  if good then good, err = build:pin(directory) end
  if good then good, err = bpf.chain.manifest.pin(manifest, directory) end
  if good then return directory, head end
  bpf.pin.remove_tree(directory)
  return nil, err
end

local function attach_anew(dirs, hook_name, hook, build, state)
  local path <const> = dirs:chain(hook_name) .. "/link"
  if state.severed_link then
    local good, err = bpf.pin.unlink(path)
    if not good then return nil, err end
  end
  local link, mode = hook:attach(build.program)
  if not link then return nil, mode end
  if link ~= true then
    local pinned, err = link:pin(path)
    if not pinned then
      link:detach()
      return nil, err
    end
  end
  return true, mode
end

-- The one operation. Returns the mode, where the attaching told one.
local function commit(dirs, hook_name, hook, build, state)
  if state.live then return hook:replace(state.link, build.program, state.live) end
  return attach_anew(dirs, hook_name, hook, build, state)
end

-- Packets may still be on their way through the chain before. One fused program keeps itself alive
-- for them; segments and slots live by their pins, which must wait for a grace period.
local function settle(state)
  local before <const> = state.manifest
  if state.live and before and (before.segments ~= 1 or before.engine ~= "fuse") then
    bpf.chain.settle()
  end
end

-- Of XDP: what the attaching told or, after an update, the kernel; nil where neither can.
local function mode_of(hook, manifest, attached_as)
  if manifest.type ~= "xdp" then return nil end
  if type(attached_as) == "string" then return attached_as end
  if hook.ifindex == 0 then return nil end
  local _, mode = hook:running()
  return type(mode) == "string" and mode or nil
end

--- Lets the hook run these members instead of what it runs, in this order; at least one.
---@param dirs table
---@param hook_name string
---@param hook table      bpf.chain.hook
---@param state bpfd.chain_state
---@param manifest table  of the new chain: engine, members = { { id, priority, mask } ... }
---@param options table   for the engine
---@return table? manifest  with what was found out: head, segments, called, xdp_mode
---@return bpf.error? err
function chain_change.swap(dirs, hook_name, hook, state, manifest, options)
  local members, err = open_members(dirs, manifest.members)
  if not members then return nil, err end
  local build
  build, err = bpf.chain.engine(manifest.engine).build(hook, members, options)
  if not build then return nil, err end
  manifest.segments, manifest.tail_callers = build.segments, build.tail_callers
  local directory, head = pin_chain(dirs, hook_name, build, manifest)
  if not directory then return nil, head end
  local good, mode = commit(dirs, hook_name, hook, build, state)
  if not good then
    bpf.pin.remove_tree(directory)
    if not state.manifest then bpf.pin.remove_tree(dirs:chain(hook_name)) end
    return nil, mode
  end
  settle(state)
  drop_others(dirs, hook_name, head)
  manifest.head = head
  manifest.xdp_mode = mode_of(hook, manifest, mode)
  return manifest
end

--- Takes the hook's chain away altogether.
---@return true? ok, bpf.error? err
function chain_change.remove(dirs, hook_name, hook, state)
  if state.live then
    local good, err = hook:detach(state.link, state.live)
    if not good then return nil, err end
    settle(state)
  end
  return bpf.pin.remove_tree(dirs:chain(hook_name))
end

--- Where a program of this priority goes: before all that are not before it. So among equals the
--- newer runs first, and the order is kept by the manifest alone.
---@param members table[]
---@param priority integer
---@return integer place
function chain_change.place_for(members, priority)
  for place, member in ipairs(members) do
    if member.priority >= priority then return place end
  end
  return #members + 1
end

return chain_change
