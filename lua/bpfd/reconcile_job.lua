-- Reads the pinned tree, in a job: what is in force, and what died half-way. The latter goes.

local bpf = require "bpf"
local core = require "bpf.core"
local chain_change = require "bpfd.chain_change"
local chain_state = require "bpfd.chain_state"
local place = require "bpfd.place"
local shared_chain = require "bpfd.shared_chain"
local tree = require "bpfd.tree"

local reconcile_job = {}

-- What is told of the hook by the chain that was pinned last.
local function last_manifest(dirs, hook_name)
  local ids <const> = tree.ids(dirs:chain(hook_name))
  return #ids > 0 and bpf.chain.manifest.read(("%s/%d"):format(dirs:chain(hook_name), ids[#ids]))
end

-- A hook that has no link has to be looked at from its namespace: there, look(hook); the hook is
-- nil where it cannot be reached.
local function at_hook(hook_name, manifest, home, look)
  local hook
  if manifest and manifest.ifindex and place.enter(manifest) then
    hook = place.hook(manifest, { tc_attach = "clsact" })
    if hook and hook.name ~= hook_name then hook = nil end
  end
  local result = look(hook)
  bpf.network.enter(home:fd())
  return result
end

local function renew(dirs, hook_name, hook, state)
  local change, err = chain_change.prepare(dirs,
    { name = hook_name, hook = hook, enter = function() return true end }, state, state.manifest,
    {})
  if not change then return nil, err end
  local good
  good, err = change:commit()
  if not good then
    change:discard()
    return nil, err
  end
  bpf.chain.settle()
  good, err = change:finish()
  if good then state.live, state.id = good.head, good.head end
  return good, err
end

-- libxdp lets an only member run without the test of its verdict: not what ours were promised.
local function runs_untested(state)
  local members <const> = state.manifest.members
  return state.id ~= state.live and #members == 1 and not members[1].owner
end

-- A chain that somebody else may have changed: bpfd's own pins follow. What has lost its pins is
-- put in order.
local function follow_shared(dirs, hook_name, hook, state)
  local good, err = true, nil
  if shared_chain.count_own(state.manifest.members) == 0 then
    state.manifest = nil
  elseif state.shared.missing or runs_untested(state) then
    good, err = renew(dirs, hook_name, hook, state)
    state.manifest.is_mended = good and state.shared.missing
  elseif state.id ~= state.live then
    good, err = shared_chain.adopt(dirs, hook_name, state)
  end
  if not good then state.manifest.trouble = tostring(err) end
end

-- The chain in force; attempts that died are dropped, and a hook without members altogether.
local function judge_here(dirs, hook_name, hook)
  local state = chain_state.read(dirs, hook_name, hook)
  if state.manifest then
    state.manifest.members = tree.living_members(dirs, state.manifest)
    state.manifest.xdp_mode = state.shared and state.shared.mode
  end
  if state.shared then follow_shared(dirs, hook_name, hook, state) end
  local manifest <const> = state.manifest
  if not manifest or #manifest.members == 0 and not state.live then
    chain_state.forget(dirs, hook_name, state.live)
    return { state = state }
  end
  manifest.head = state.live
  if hook or not manifest.shared then -- out of sight, any of them may be what runs
    chain_state.drop_others(dirs, hook_name, state.id, state.id == state.live)
  end
  -- what runs there now is not what has these pins
  if hook and not state.live then shared_chain.drop_pins(manifest, state.id, false) end
  return { manifest = manifest, state = state }
end

local function judge_hook(dirs, hook_name, home)
  local judged <const> = at_hook(hook_name, last_manifest(dirs, hook_name), home, function(hook)
    return judge_here(dirs, hook_name, hook)
  end)
  local manifest <const> = judged.manifest
  if manifest and judged.state.link and judged.state.live and manifest.type == "xdp" then
    manifest.xdp_mode = place.xdp_mode(manifest, home)
  end
  return manifest
end

--- What runs at one hook, after somebody else has changed it.
---@return table manifest  without members where nothing of ours is
function reconcile_job.follow(dirs, hook_name)
  local home <close> = assert(core.system.open "/proc/self/ns/net")
  return judge_hook(dirs, hook_name, home) or { members = {} }
end

-- Where each program has a link of its own, one that came in the place of another is put in force
-- before that one goes.
local function add_replaced(set, note, is_in_force)
  if note and note.replaces and is_in_force then set[note.replaces] = true end
end

-- Something that runs stays, even if somebody has removed what it was to be remembered by.
local function judge_programs(dirs, hook_of, result)
  local ids <const>, notes <const>, runs <const>, replaced <const> =
    tree.ids(dirs.fs .. "/programs"), {}, {}, {}
  for _, id in ipairs(ids) do
    runs[id] = hook_of[id] or tree.exists(dirs:program(id) .. "/link")
    notes[id] = runs[id] and tree.note(dirs, id) or nil
    add_replaced(replaced, notes[id], runs[id])
  end
  for _, id in ipairs(ids) do
    local note <const> = notes[id]
    if hook_of[id] or runs[id] and not replaced[id] then
      table.insert(result.programs, { id = id, hook = hook_of[id] })
      result.users[id] = true
      if note and note.map_owner_id then result.users[note.map_owner_id] = true end
    else
      result.removed = result.removed + 1
      bpf.pin.remove_tree(dirs:program(id))
    end
  end
end

local function drop_unused_maps(dirs, users)
  for _, id in ipairs(tree.ids(dirs.fs .. "/maps")) do
    if not users[id] then bpf.pin.remove_tree(dirs:maps(id)) end
  end
end

--- The whole tree, while no other job runs.
---@param dirs table
---@return { programs: { id: integer, hook: string? }[], chains: table<string, table>,
---  removed: integer }
function reconcile_job.run(dirs)
  local home <close> = assert(core.system.open "/proc/self/ns/net")
  local result = { programs = {}, chains = {}, removed = 0, users = {} }
  local hook_of = {}
  for _, name in ipairs(tree.names(dirs.fs .. "/staging")) do
    bpf.pin.remove_tree(dirs.fs .. "/staging/" .. name)
    result.removed = result.removed + 1
  end
  for _, hook_name in ipairs(tree.names(dirs.fs .. "/chains")) do
    local manifest = judge_hook(dirs, hook_name, home)
    result.chains[hook_name] = manifest
    for _, member in ipairs(manifest and manifest.members or {}) do
      hook_of[member.id] = hook_name
    end
  end
  judge_programs(dirs, hook_of, result)
  drop_unused_maps(dirs, result.users)
  result.users = nil
  return result
end

-- The programs that a job had in its hands when it died: what it was to drop, and what it had made.
local function in_hands(dirs, pid, plan)
  local programs = {}
  for _, member in ipairs(plan.drop) do
    table.insert(programs, { id = member.id, hook = member.hook_name, drop = member.own,
      maps = member.maps, users = member.users })
  end
  for _, id in ipairs(tree.ids(dirs.fs .. "/programs")) do
    local note = tree.note(dirs, id)
    if note and note.job == pid then
      table.insert(programs, { id = id, hook = note.attach.hook, is_new = true, note = note,
        drop = { dirs:program(id), dirs:maps(id) } })
    end
  end
  return programs
end

local function is_member(manifest, id)
  for _, member in ipairs(manifest and manifest.members or {}) do
    if member.id == id then return true end
  end
  return false
end

local function is_in_force(dirs, chains, program)
  if program.hook then return is_member(chains[program.hook], program.id) end
  return tree.exists(dirs:program(program.id) .. "/link")
end

-- What it had staged; maps that were published already, before their program came into its place.
local function drop_staged(dirs, pid)
  for _, id in ipairs(tree.ids(dirs:staging(pid))) do bpf.pin.remove_tree(dirs:maps(id)) end
  bpf.pin.remove_tree(dirs:staging(pid))
end

local function judge_hooks(dirs, programs, plan, home)
  local chains = {}
  local function judge(hook_name)
    if not hook_name or chains[hook_name] ~= nil then return end
    chains[hook_name] = judge_hook(dirs, hook_name, home) or false
  end
  for _, program in ipairs(programs) do judge(program.hook) end
  for _, member in ipairs(plan.keep) do judge(member.hook_name) end
  return chains
end

-- Maps go with the last of those that were to leave and use them.
local function drop_maps(program, kept_ids)
  for _, user in ipairs(program.users or {}) do
    if kept_ids[user] then return end
  end
  if program.maps then bpf.pin.remove_tree(program.maps) end
end

--- What one job left behind when it was killed or died. Its locks are still held.
---@param dirs table
---@param pid integer
---@param plan bpfd.change_plan  what its work was
---@return { kept: { id: integer, hook: string?, is_new: boolean? }[], gone: integer[],
---  chains: table<string, table|false> }
function reconcile_job.settle(dirs, pid, plan)
  local home <close> = assert(core.system.open "/proc/self/ns/net")
  drop_staged(dirs, pid)
  local programs <const> = in_hands(dirs, pid, plan)
  local result = { kept = {}, gone = {}, chains = judge_hooks(dirs, programs, plan, home) }
  local kept_ids, replaced = {}, {}
  for _, program in ipairs(programs) do
    kept_ids[program.id] = is_in_force(dirs, result.chains, program)
    add_replaced(replaced, program.note, kept_ids[program.id])
  end
  for _, program in ipairs(programs) do
    if replaced[program.id] and not program.hook then kept_ids[program.id] = nil end
  end
  for _, program in ipairs(programs) do
    if kept_ids[program.id] then
      table.insert(result.kept, { id = program.id, hook = program.hook, is_new = program.is_new })
    else
      table.insert(result.gone, program.id)
      for _, path in ipairs(program.drop) do bpf.pin.remove_tree(path) end
      drop_maps(program, kept_ids)
    end
  end
  return result
end

return reconcile_job
