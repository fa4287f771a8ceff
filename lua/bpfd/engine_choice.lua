-- By which engine a hook's chain is built, and whether it is libxdp's too.

local bpf = require "bpf"
local shared_chain = require "bpfd.shared_chain"
local tree = require "bpfd.tree"

local engine_choice = {}

-- The engine that the hook is to have where its chain does not say it: a name or "auto".
local function wanted_engine(hook)
  if hook.state.shared then return "freplace" end
  local shares <const> = hook.attach.type == "xdp" and hook.settings.libxdp == "share"
  return shares and "freplace" or hook.settings.engine
end

-- From the first on that this kernel has. Those after it are looked at when they are due: whether a
-- kernel takes extension programs is found out by loading and attaching one.
local function usable(names, first, kind)
  local refusal
  for at = first, #names do
    local good, err = bpf.chain.engine(names[at]).available(kind)
    if good then return table.move(names, at, #names, 1, {}) end
    refusal = refusal or err
  end
  return nil, refusal
end

--- Which engines to try for what is added, in order. A hook keeps what runs on it.
---@param dirs table
---@param hook bpfd.touched_hook
---@return string[]? names, bpf.error? err
function engine_choice.engines(dirs, hook)
  local state <const>, kind <const> = hook.state, hook.attach.type
  if state.refusal then return nil, state.refusal end
  local members <const> = state.manifest and tree.living_members(dirs, state.manifest) or {}
  if shared_chain.count_own(members) > 0 then return { state.manifest.engine } end
  local forbidden <const> = state.shared
    and shared_chain.forbids(hook.settings, hook.attach.iface, state)
  if forbidden then return nil, forbidden end
  local wanted <const> = wanted_engine(hook)
  local names <const>, refusal = usable(wanted == "auto" and { "fuse", "freplace" } or { wanted },
    1, kind)
  if names then return names end
  return nil, refusal:because(("choosing the engine %s"):format(wanted))
end

--- Turns to the next engine, where there is one that this kernel has.
---@param hook bpfd.touched_hook
---@return boolean turned
function engine_choice.turn(hook)
  local names <const> = usable(hook.engines, 2, hook.attach.type)
  hook.engines = names or hook.engines
  return names ~= nil
end

--- Adds to the manifest of a hook's new chain who shares it. Who shared a chain before shares it
--- again.
---@param hook bpfd.touched_hook
---@param manifest table
---@return table? manifest, bpf.error? err
function engine_choice.share(hook, manifest)
  local before <const> = hook.state.manifest
  local shared, err
  if before and #before.members > 0 then
    shared = before.shared ~= nil
  else
    shared, err = shared_chain.is_wanted(hook.settings, hook.attach.type, manifest.engine)
  end
  if err then return nil, err end
  if shared then
    manifest.shared = shared_chain.owner
    manifest.dispatcher_version = before and before.dispatcher_version
      or hook.settings.dispatcher_version
  end
  return manifest
end

return engine_choice
