-- What runs at a hook, and what is pinned for it: read by jobs.

local bpf = require "bpf"
local libxdp = require "bpf.chain.libxdp"
local shared_chain = require "bpfd.shared_chain"
local tree = require "bpfd.tree"

local chain_state = {}

-- Manifests that are none, which no second look makes readable.
local is_unreadable <const> = { ENOENT = true, EINVAL = true }

-- Without a link or a filter that tells, the index knows which chain was in force last; and without
-- it, the youngest is taken for that.
local function last_of(state, known)
  local told <const> = known and (known.head or known.stopped)
  for _, id in ipairs(state.ids) do
    if id == told then return id end
  end
  return state.ids[#state.ids]
end

---@class bpfd.chain_state
---@field link table?       the hook's link
---@field severed_link table?  one whose interface is gone
---@field live integer?     id of the program that the hook runs
---@field manifest table?   of the chain in force, or of the last one where nothing of ours runs
---@field unreadable bpf.error?  why there is none, where another version of bpfd has written it
---@field id integer?       of that chain's head: the name of its directory
---@field shared table?     what runs, where that is a chain of libxdp's (bpf.chain.libxdp)
---@field refusal table?    why that one cannot be changed
---@field lost table[]?     members that have lost their places in it

local function is_in(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

local function keep_own(manifest)
  local own = {}
  for _, member in ipairs(manifest.members) do
    if not member.owner then table.insert(own, member) end
  end
  manifest.members = own
end

-- A shared chain is in force as it runs, whoever wrote it; once it does not run, those of others
-- are not in it any more.
local function look_for_shared(dirs, state, hook)
  local is_reachable <const> = not state.link and hook and hook.type == "xdp" and hook.ifindex ~= 0
  local running <const> = is_reachable and libxdp.read(hook.ifindex)
  if running then
    if state.id ~= running.id then state.id = nil end
    return shared_chain.complete(dirs, state, running, hook.ifindex, state.manifest)
  end
  if state.manifest and not state.live then keep_own(state.manifest) end
  return state
end

--- Reads the manifest of the chain that runs or, where none does, of the last one that did.
---@param state bpfd.chain_state  with `ids`, and `live` or `last` where they are known
---@param known table?  what the index has of the chain
function chain_state.read_manifest(dirs, hook_name, state, known)
  state.id, state.manifest, state.unreadable = nil, nil, nil
  local last <const> = state.live or state.last or last_of(state, known)
  if not last or not is_in(state.ids, last) then return end
  state.id = last
  local err
  state.manifest, err = bpf.chain.manifest.read(("%s/%d"):format(dirs:chain(hook_name), last))
  if state.manifest then return end
  -- a chain without members would be built in its place
  if state.live and not is_unreadable[err.code] then error(err) end
  if err.code == "EINVAL" then state.unreadable = err end
end

---@param dirs table
---@param hook_name string
---@param hook table?  for what no link tells; nil when it cannot be reached
---@param known table?  what the index has of the chain
---@return bpfd.chain_state
function chain_state.read(dirs, hook_name, hook, known)
  local state = { ids = tree.ids(dirs:chain(hook_name)) }
  local link, info = tree.hook_link(dirs, hook_name)
  if link and info and not info.severed then
    state.link, state.live = link, info.prog_id
  elseif link then
    state.severed_link, state.last = link, info and info.prog_id
  else
    local running = hook and hook:running()
    local is_ours <const> = running
      and (is_in(state.ids, running) or known and known.head == running)
    state.live = is_ours and running or nil
  end
  chain_state.read_manifest(dirs, hook_name, state, known)
  return look_for_shared(dirs, state, hook)
end

--- Drops every chain of the hook's but the one with this id; nil drops them all. `in_force`: that
--- is what runs.
---@return true? ok, bpf.error? err
function chain_state.drop_others(dirs, hook_name, kept, in_force)
  for _, id in ipairs(tree.ids(dirs:chain(hook_name))) do
    local directory <const> = ("%s/%d"):format(dirs:chain(hook_name), id)
    local good, err = true, nil
    if id ~= kept or in_force then
      good, err = shared_chain.drop_pins(bpf.chain.manifest.read(directory), id, id == kept)
    end
    if good and id ~= kept then good, err = bpf.pin.remove_tree(directory) end
    if not good then return nil, err end
  end
  return true
end

--- Drops all that is pinned for a hook where nothing of ours runs; `live` is what runs there, and
--- keeps the pins that it has elsewhere.
---@param live integer?
---@return true? ok, bpf.error? err
function chain_state.forget(dirs, hook_name, live)
  local good, err = chain_state.drop_others(dirs, hook_name, live)
  if good then good, err = bpf.pin.remove_tree(dirs:chain(hook_name)) end
  return good, err
end

return chain_state
