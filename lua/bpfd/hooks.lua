-- What the daemon holds while it runs: one descriptor for each hook's link, so that a pin that
-- somebody removes can be put back before anything is detached.

local bpf = require "bpf"
local log = require "bpfd.log"
local loop = require "bpfd.loop"

local LOOK <const> = 1 -- seconds between two looks

local hooks = {}
hooks.__index = hooks

---@param dirs table
function hooks.new(dirs)
  return setmetatable({ dirs = dirs, links = {} }, hooks)
end

local function path_of(self, hook_name)
  return self.dirs:chain(hook_name) .. "/link"
end

--- Takes hold of the link as it is pinned now; of none where the hook has no link.
---@param hook_name string
function hooks:hold(hook_name)
  local before <const> = self.links[hook_name]
  self.links[hook_name] = bpf.link.open_pin(path_of(self, hook_name))
  if before then before:close() end
end

--- Puts back pins that have gone although nobody of ours has removed them. To be called when no job
--- changes the hook.
---@param hook_name string
function hooks:mend(hook_name)
  local link <const> = self.links[hook_name]
  if not link then return end
  local present <close> = bpf.link.open_pin(path_of(self, hook_name))
  if present then return end
  local good, err = link:pin(path_of(self, hook_name))
  if good then
    log.warning("the pin of the link of %s was gone; it is back", hook_name)
  else
    log.error("the pin of the link of %s is gone: %s", hook_name, tostring(err))
  end
end

--- Looks at all of them now and then. `is_free(hook_name)` says whether no job changes the hook.
---@param is_free fun(hook_name: string): boolean
function hooks:watch(is_free)
  self.timer = loop.after(LOOK, function()
    for hook_name in pairs(self.links) do
      if is_free(hook_name) then self:mend(hook_name) end
    end
  end, true)
end

return hooks
