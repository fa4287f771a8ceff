-- Locks between tasks: a change to a hook or to a set of maps waits for the one before it.

local loop = require "bpfd.loop"

local lock = {}

local waiting = {} ---@type table<string, fun()[]>  a key is held while it is in here

local function acquire(key)
  local queue = waiting[key]
  if not queue then
    waiting[key] = {}
    return
  end
  loop.wait(function(resume) table.insert(queue, resume) end)
end

local function release(key)
  local next_one = table.remove(waiting[key], 1)
  if not next_one then waiting[key] = nil else next_one() end
end

local held = { __close = function(self)
  for i = #self, 1, -1 do release(self[i]) end
end }

--- Waits until all of the keys are free, then holds them until the returned value is closed.
--- Always all of a task's at once, so that no two tasks wait for each other.
---@param keys string[]
function lock.hold(keys)
  local sorted, seen = setmetatable({}, held), {}
  for _, key in ipairs(keys) do
    if not seen[key] then
      seen[key] = true
      table.insert(sorted, key)
    end
  end
  table.sort(sorted)
  for _, key in ipairs(sorted) do acquire(key) end
  return sorted
end

---@return boolean
function lock.is_held(key)
  return waiting[key] ~= nil
end

return lock
