-- Events as policies see them: who asks, what for, and where it would be.

local system = require("bpf.core").system
local time = require "bpfd.time"

local event = {}

local KNOWN <const> = 60 * 1000000000 -- nanoseconds that a group's name is not asked for again

local names = {} -- gid -> { name = string?, till = nanoseconds }

-- Where users come from a directory server, asking for a name takes a while.
local function group_name(gid)
  local now <const> = system.clock "monotonic"
  local known = names[gid]
  if not known or known.till < now then
    known = { name = system.group_name(gid), till = now + KNOWN }
    names[gid] = known
  end
  return known.name
end

-- By number and by name, the primary one too.
local function groups_of(peer)
  local groups, seen = {}, {}
  local function add(gid)
    if seen[gid] then return end
    seen[gid] = true
    groups[#groups + 1] = gid
    groups[#groups + 1] = group_name(gid)
  end
  add(peer.gid)
  for _, gid in ipairs(peer.groups or {}) do add(gid) end
  return groups
end

--- The peer of what the daemon does by itself.
---@return table
function event.own_peer()
  local identity <const> = system.identity()
  return { uid = identity.uid, gid = identity.gid, pid = identity.pid, groups = {} }
end

---@param on string
---@param peer { uid: integer, gid: integer, pid: integer, groups: integer[] }
---@param fields table?  what else there is; copied as far as the first level
---@return table
function event.new(on, peer, fields)
  local made = {}
  for key, value in pairs(fields or {}) do made[key] = value end
  made.on, made.time = on, time.text(system.clock())
  made.peer = { uid = peer.uid, gid = peer.gid, pid = peer.pid, groups = groups_of(peer) }
  return made
end

return event
