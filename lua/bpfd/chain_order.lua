-- The order of a hook's members: what a change makes of it, and nothing of the kernel.

local chain_order = {}

---@class bpfd.member
---@field id integer
---@field priority integer
---@field mask integer       verdicts after which the next member runs

--- Where a program of this priority goes: before all that are not before it. So among equals the
--- newer runs first, and the order is kept by the manifest alone.
---@param members bpfd.member[]
---@param priority integer
---@return integer place
function chain_order.place_for(members, priority)
  for place, member in ipairs(members) do
    if member.priority >= priority then return place end
  end
  return #members + 1
end

local function place_of(members, id)
  for place, member in ipairs(members) do
    if member.id == id then return place end
  end
  return nil
end

-- Where it stands already, or stands in for another, it stays; else it goes where a new one goes.
local function put_in(members, wanted)
  local place = place_of(members, wanted.id) or place_of(members, wanted.replaces)
  if place and members[place].priority ~= wanted.priority then
    table.remove(members, place)
    place = nil
  end
  local member <const> = { id = wanted.id, priority = wanted.priority, mask = wanted.mask }
  if place then
    members[place] = member
  else
    table.insert(members, chain_order.place_for(members, wanted.priority), member)
  end
end

-- Equals that are wanted in an order get it among the places that they have between them.
local function line_up(members, put)
  local places, member_of, priorities = {}, {}, {}
  for place, member in ipairs(members) do
    member_of[member.id] = member
    places[member.priority] = places[member.priority] or {}
    for _, wanted in ipairs(put) do
      if wanted.id == member.id then table.insert(places[member.priority], place) end
    end
  end
  for _, wanted in ipairs(put) do
    local nth = (priorities[wanted.priority] or 0) + 1
    priorities[wanted.priority] = nth
    members[places[wanted.priority][nth]] = member_of[wanted.id]
  end
end

--- The members after a change.
---@param members bpfd.member[]   in running order
---@param change { drop: table<integer, boolean>, put: table[] }  drop: ids that leave. put: members
---  that are wanted, new or not, in the order in which equals of them are to run; `replaces` is the
---  id of a member that leaves and whose place a new one takes, if it has the same priority
---@return bpfd.member[]
function chain_order.arrange(members, change)
  local arranged = {}
  for _, member in ipairs(members) do arranged[#arranged + 1] = member end
  for i = #change.put, 1, -1 do put_in(arranged, change.put[i]) end
  line_up(arranged, change.put)
  local left = {}
  for _, member in ipairs(arranged) do
    if not change.drop[member.id] then left[#left + 1] = member end
  end
  return left
end

--- Whether both are the same members in the same order.
---@param members bpfd.member[]
---@param others bpfd.member[]
---@return boolean
function chain_order.equal(members, others)
  if #members ~= #others then return false end
  for place, member in ipairs(members) do
    local other <const> = others[place]
    if member.id ~= other.id or member.priority ~= other.priority or member.mask ~= other.mask then
      return false
    end
  end
  return true
end

return chain_order
