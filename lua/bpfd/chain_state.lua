-- What runs at a hook, and what is pinned for it: read by jobs.

local bpf = require "bpf"
local tree = require "bpfd.tree"

local chain_state = {}

---@class bpfd.chain_state
---@field link table?       the hook's link
---@field severed_link table?  one whose interface is gone
---@field live integer?     id of the program that the hook runs
---@field manifest table?   of the chain in force, or of the last one where the interface is gone
---@field id integer?       of that chain's head: the name of its directory

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

---@param dirs table
---@param hook_name string
---@param hook table?  for what no link tells; nil when it cannot be reached
---@return bpfd.chain_state
function chain_state.read(dirs, hook_name, hook)
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
    state.manifest = bpf.chain.manifest.read(("%s/%d"):format(dirs:chain(hook_name), last))
  end
  return state
end

--- Drops every chain of the hook's but the one with this id; nil drops them all.
---@return true? ok, bpf.error? err
function chain_state.drop_others(dirs, hook_name, kept)
  for _, id in ipairs(tree.ids(dirs:chain(hook_name))) do
    if id ~= kept then
      local good, err = bpf.pin.remove_tree(("%s/%d"):format(dirs:chain(hook_name), id))
      if not good then return nil, err end
    end
  end
  return true
end

return chain_state
