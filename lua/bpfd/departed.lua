-- Ids of programs that went with their interfaces: an unload that comes too late is no error. Only
-- the last ones, and not over a restart: who cannot know better says --missing-ok.

local departed = {}
departed.__index = departed

local MOST <const> = 4096

---@class bpfd.departed
---@field order integer[]  a ring
---@field at integer       where the next id goes
---@field holds table<integer, boolean>

---@return bpfd.departed
function departed.new()
  return setmetatable({ order = {}, at = 1, holds = {} }, departed)
end

---@param id integer
function departed:add(id)
  if self.holds[id] then return end
  local oldest <const> = self.order[self.at]
  if oldest then self.holds[oldest] = nil end
  self.order[self.at], self.holds[id] = id, true
  self.at = self.at % MOST + 1
end

---@param id integer
---@return boolean
function departed:has(id) return self.holds[id] == true end

return departed
