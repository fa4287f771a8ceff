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

local pinned = { changes = 0, alone = false, queue = {} }

-- Lets in who waits longest and, as long as these are changes, those behind.
local function let_in()
  while #pinned.queue > 0 and not pinned.alone do
    local first <const> = pinned.queue[1]
    if first.alone and pinned.changes > 0 then return end
    table.remove(pinned.queue, 1)
    if first.alone then pinned.alone = true else pinned.changes = pinned.changes + 1 end
    first.resume()
  end
end

local function enter(alone)
  local is_free <const> = not pinned.alone and #pinned.queue == 0
  if not is_free or alone and pinned.changes > 0 then
    loop.wait(function(resume) table.insert(pinned.queue, { alone = alone, resume = resume }) end)
  elseif alone then
    pinned.alone = true
  else
    pinned.changes = pinned.changes + 1
  end
end

local one_change = { __close = function()
  pinned.changes = pinned.changes - 1
  let_in()
end }

local all_alone = { __close = function()
  pinned.alone = false
  let_in()
end }

--- For a change of what is pinned, after its keys: any number at once, and none while somebody
--- looks at everything.
---@return table held  until it is closed
function lock.tree()
  enter(false)
  return setmetatable({}, one_change)
end

--- For a look at all that is pinned: when the changes under way have ended, before further ones.
---@return table held  until it is closed
function lock.tree_alone()
  enter(true)
  return setmetatable({}, all_alone)
end

--- Whether somebody looks at all that is pinned.
---@return boolean
function lock.is_alone() return pinned.alone end

---@return boolean
function lock.is_held(key)
  return waiting[key] ~= nil
end

return lock
