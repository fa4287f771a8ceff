-- What ran in a chain, from its stop counters: the kernel's statistics of a fused member stay zero.

local core = require "bpf.core"

local counters = {}

---@class bpf.chain.position
---@field stops integer packets whose way ended here
---@field runs integer packets that this member has seen

---@class bpf.chain.counters: { [integer]: bpf.chain.position }
---@field ended integer packets that all members let proceed
---@field failed integer packets dropped because no tail call was left to the next segment

---@param source table|string a build, or the directory where one was pinned
---@return bpf.chain.counters?
---@return bpf.error? err
function counters.read(source)
  local stops, err
  if type(source) == "string" then
    local map <close>, open_err = require("bpf.map").open_pin(source .. "/counters")
    if not map then return nil, open_err end
    stops, err = core.chain.stops(map)
  else
    stops, err = source:stops()
  end
  if not stops then return nil, err end
  local result = { ended = stops[#stops - 1], failed = stops[#stops] }
  -- A packet lost between segments was seen by those in front of the gap, which the count does not
  -- tell: it is left out.
  local runs = result.ended
  for position = #stops - 2, 1, -1 do
    runs = runs + stops[position]
    result[position] = { stops = stops[position], runs = runs }
  end
  return result
end

return counters
