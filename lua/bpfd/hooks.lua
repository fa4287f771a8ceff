-- What the daemon holds while it runs: one descriptor for each hook's link, so that a pin that
-- somebody removes can be put back before anything is detached. Chains that libxdp shares have no
-- link; of them it knows what was there last.

local bpf = require "bpf"
local libxdp = require "bpf.chain.libxdp"
local log = require "bpfd.log"
local loop = require "bpfd.loop"
local tree = require "bpfd.tree"

local LOOK <const> = 1 -- seconds between two looks

local hooks = {}
hooks.__index = hooks

---@param dirs table
---@param store table
function hooks.new(dirs, store)
  return setmetatable({ dirs = dirs, store = store, links = {}, shared = {}, unsure = {} }, hooks)
end

local function path_of(self, hook_name)
  return self.dirs:chain(hook_name) .. "/link"
end

--- Takes hold of the link as it is pinned now; of none where the hook has no link.
---@param hook_name string
function hooks:hold(hook_name)
  local before <const> = self.links[hook_name]
  local link <const>, err = bpf.link.open_pin(path_of(self, hook_name))
  self.links[hook_name] = link
  self.unsure[hook_name] = err and err.code ~= "ENOENT" or nil -- and is tried again
  if before then before:close() end
  local chain <const> = self.store:chain(hook_name)
  self.shared[hook_name] = chain and chain.shared and { ifindex = chain.ifindex,
    netns = chain.netns, head = chain.head or chain.foreign,
    count = chain.head and #chain.members or 0 } or nil
end

--- Takes hold of all anew, after everything has been looked at.
function hooks:hold_all()
  local names = {}
  for hook_name in pairs(self.links) do names[hook_name] = true end
  for hook_name in pairs(self.shared) do names[hook_name] = true end
  for hook_name in self.store:chains() do names[hook_name] = true end
  for hook_name in pairs(names) do self:hold(hook_name) end
end

local function has_changed(chain)
  local running <const> = bpf.network.xdp(chain.ifindex)
  if (running and running.prog_id) ~= chain.head then return true end
  return running and not libxdp.is_pinned(chain.ifindex, chain.head, chain.count)
end

--- Whether somebody else has changed the shared chain of a hook; `everywhere`: or may have, in
--- another network namespace, where one cannot see that from here.
---@param hook_name string
---@param everywhere boolean?
---@return boolean?
function hooks:is_stale(hook_name, everywhere)
  local chain <const> = self.shared[hook_name]
  if not chain then return false end
  if chain.netns then return everywhere end
  return has_changed(chain)
end

--- Names of the hooks of which that is so.
---@param everywhere boolean?
---@return string[]
function hooks:stale(everywhere)
  local names = {}
  for hook_name in pairs(self.shared) do
    if self:is_stale(hook_name, everywhere) then names[#names + 1] = hook_name end
  end
  return names
end

--- Puts back pins that have gone although nobody of ours has removed them. To be called when no job
--- changes the hook.
---@param hook_name string
---@return true? ok, bpf.error? err
function hooks:mend(hook_name)
  local link <const> = self.links[hook_name]
  if not link then return true end
  local present <close>, why = bpf.link.open_pin(path_of(self, hook_name))
  if present or why.code ~= "ENOENT" then return true end
  local good, err = tree.make(self.dirs:chain(hook_name))
  if good then good, err = link:pin(path_of(self, hook_name)) end
  if good then
    log.warning("the pin of the link of %s was gone; it is back", hook_name)
  else
    log.error("the pin of the link of %s is gone: %s", hook_name, tostring(err))
  end
  return good, err
end

--- Looks at all of them now and then. `is_free(hook_name)` says whether no job changes the hook,
--- `follow` reads the shared chains anew that have changed.
---@param is_free fun(hook_name: string): boolean
---@param follow fun()
function hooks:watch(is_free, follow)
  self.timer = loop.after(LOOK, function()
    for hook_name in pairs(self.links) do
      if is_free(hook_name) then self:mend(hook_name) end
    end
    for hook_name in pairs(self.unsure) do self:hold(hook_name) end
    if next(self.shared) then loop.spawn(follow) end
  end, true)
end

return hooks
