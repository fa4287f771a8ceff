-- What all clients share, and who of them pays when it runs short: whoever has the most of it.

local fairness = {}

local DESCRIPTORS <const> = 4096 -- of one user's, in requests that are not answered yet
local BYTES <const> = 64 << 20 -- of one user's, in answers that are not read

local function count_by(connections, field)
  local counts = setmetatable({}, { __index = function() return 0 end })
  for client in pairs(connections) do
    local key <const> = client.peer[field]
    counts[key] = counts[key] + 1
  end
  return counts
end

-- First the user with the most connections, of that user's processes the one with the most, and of
-- that one's connections those that ask for nothing, the longest first.
local function precedes(users, processes)
  return function(a, b)
    local users_a <const>, users_b <const> = users[a.peer.uid], users[b.peer.uid]
    if users_a ~= users_b then return users_a > users_b end
    local processes_a <const>, processes_b <const> = processes[a.peer.pid], processes[b.peer.pid]
    if processes_a ~= processes_b then return processes_a > processes_b end
    local idle_a <const>, idle_b <const> = a.request_count == 0, b.request_count == 0
    if idle_a ~= idle_b then return idle_a end
    return a.used_at < b.used_at
  end
end

--- The connection that has to go so that there is room for one more: one that asks for nothing, or
--- else one of somebody who would still have no fewer than the newcomer.
---@param connections table<table, table>  of bpfd.connection
---@param peer { uid: integer, pid: integer }  the newcomer
---@return table? connection  nil: the newcomer is to be refused
function fairness.to_leave(connections, peer)
  local users <const> = count_by(connections, "uid")
  local processes <const> = count_by(connections, "pid")
  local candidates = {}
  for client in pairs(connections) do candidates[#candidates + 1] = client end
  table.sort(candidates, precedes(users, processes))
  for _, client in ipairs(candidates) do
    local is_greedier <const> = users[client.peer.uid] > users[peer.uid] + 1
      or client.peer.uid == peer.uid and processes[client.peer.pid] > processes[peer.pid] + 1
    if client.request_count == 0 or is_greedier then return client end
  end
  return nil
end

local function descriptors_of(client)
  local count = #client.descriptors + #client.staged
  if client.waiting then count = count + #client.waiting.received end
  for request in pairs(client.requests) do count = count + #request.descriptors end
  return count
end

--- Whether a user holds more of the daemon's descriptors and memory than one may; what it is that
--- there is too much of.
---@param connections table<table, table>
---@param uid integer
---@return string? complaint
function fairness.excess(connections, uid)
  local descriptors, bytes = 0, 0
  for client in pairs(connections) do
    if client.peer.uid == uid then
      descriptors, bytes = descriptors + descriptors_of(client), bytes + client.unsent_size
    end
  end
  if descriptors > DESCRIPTORS then
    return ("user %d has more than %d descriptors in requests"):format(uid, DESCRIPTORS)
  elseif bytes > BYTES then
    return ("user %d has more than %d bytes of answers unread"):format(uid, BYTES)
  end
  return nil
end

-- How many jobs of the same user, and of the same connection, run already.
local function share_of(owner, running)
  local of_user, of_connection = 0, 0
  for _, other in pairs(running) do
    if other.owner and other.owner.uid == owner.uid then
      of_user = of_user + 1
      if other.owner.connection == owner.connection then of_connection = of_connection + 1 end
    end
  end
  return of_user, of_connection
end

--- Which of the jobs that wait is next: the daemon's own, else that of the user of whom the fewest
--- run, and of that user's connections the same.
---@param queue { owner: { uid: integer, connection: any }? }[]  in the order in which they came
---@param running table  the lane's; the same form
---@return integer place
function fairness.next_job(queue, running)
  local best, best_user, best_connection = 1, math.huge, math.huge
  for place, waiting in ipairs(queue) do
    if not waiting.owner then return place end
    local of_user <const>, of_connection <const> = share_of(waiting.owner, running)
    if of_user < best_user or of_user == best_user and of_connection < best_connection then
      best, best_user, best_connection = place, of_user, of_connection
    end
  end
  return best
end

return fairness
