-- What a chain must do, in a few lines, and chains drawn at random to hold the engine to it.
local verdict = require "bpf.verdict"

local chain_model = {}

local MASK32 <const> = 0xffffffff

local function kind_names(kind)
  local common = {
    "count", "statics", "globals", "loop", "each", "timer", "lock", "tail_hit", "tail_miss",
    "tail_below", "submit", "packet", "deep_200", "deep_360", "deep_480", "deep_504", "deep_both",
    "frames", "stale_stack", "spill",
  }
  local own = kind == "xdp" and { "head", "tail" }
    or { "load_inside", "load_outside", "pull", "write" }
  return table.move(own, 1, #own, #common + 1, common)
end
chain_model.kinds = kind_names

-- Verdicts that have a bit, some that have none, and some that only look like one in 32 or 64 bits.
chain_model.verdicts = {
  xdp = { 0, 1, 2, 3, 4, 31, 5, 30, 32, 200, -1, -2, 0xdeadbeef00000002 },
  tc = { -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 30, 31, 9, 200, -2, 0xdeadbeef00000002, 0xffffffff },
}

-- A packet has 33 tail calls in all, and segments take some.
local MAX_TAIL_CALLERS <const> = 10

---What this member returns: one place for the two kinds that do not return what was chosen.
local function returned(place)
  local twin = place.member
  if twin.name == "plain" then return twin.fixed end
  if twin.name == "tail_hit" then return twin.target end
  if twin.name == "load_outside" then return 0 end
  return twin.verdict
end

local function proceeds(kind, value, mask)
  local bit = (kind == "tc" and value + 1 or value) & MASK32
  return bit <= 31 and mask >> bit & 1 == 1
end

---Runs a packet through the chain: verdict and the place where it stopped (#places + 1: at the
---end). `runs` of the members is counted up.
function chain_model.run(kind, places, end_verdict)
  for position, place in ipairs(places) do
    place.member.expected = (place.member.expected or 0) + 1
    local value = returned(place)
    if not proceeds(kind, value, place.mask) then return value & MASK32, position end
  end
  return end_verdict & MASK32, #places + 1
end

local function pick(list) return list[math.random(#list)] end

local function random_mask(kind, density)
  local names = {}
  for _, name in ipairs(verdict.values(kind)) do
    if math.random() < density then names[#names + 1] = name end
  end
  return assert(verdict.encode(kind, names))
end

-- A verdict, likely to be one that lets the packet proceed: else long chains would end at their
-- second member.
local function likely(kind, mask, probability)
  if math.random() >= probability then return pick(chain_model.verdicts[kind]) end
  local fitting = {}
  for _, value in ipairs(chain_model.verdicts[kind]) do
    if proceeds(kind, value, mask) then fitting[#fitting + 1] = value end
  end
  return #fitting > 0 and pick(fitting) or pick(chain_model.verdicts[kind])
end

---A chain of members from the pool, in running order by priority.
---@return table places { member =, mask =, priority = ... }
---@param limits? { longest: integer?, always: integer? } members (64); bits that every mask has
function chain_model.draw(kind, pool, order, limits)
  limits = limits or {}
  local places, tail_callers, longest = {}, 0, limits.longest or 64
  local length = math.random(1, math.random() < 0.5 and math.min(8, longest) or longest)
  local density = pick { 0.3, 0.6, 0.9 }
  while #places < length do
    local member = pick(pool)
    local tail_calls = member.name:find "^tail_[hmb]"
    if not tail_calls or tail_callers < MAX_TAIL_CALLERS then
      if tail_calls then tail_callers = tail_callers + 1 end
      local place = member:with(random_mask(kind, density) | (limits.always or 0))
      place.priority = math.random(0, length // 2)
      places[#places + 1] = place
    end
  end
  return order(places)
end

---New verdicts for all members of the chain.
function chain_model.assign(kind, places)
  local probability = pick { 0.5, 0.9, 0.98, 1 }
  for _, place in ipairs(places) do
    local member = place.member
    if member.name ~= "plain" then
      member.verdict = likely(kind, place.mask, probability)
      member.target = likely(kind, place.mask, probability)
      member:choose(member.verdict, member.target)
    end
  end
end

---The chain in words, for a failure's message.
function chain_model.describe(places)
  local lines = {}
  for position, place in ipairs(places) do
    lines[position] = ("%2d %-12s priority %d mask %#x returns %s"):format(
      position, place.name, place.priority, place.mask, returned(place) or "?")
  end
  return table.concat(lines, "\n")
end

return chain_model
