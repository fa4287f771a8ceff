-- Where faults happen: all calls of an operation at which they say something
-- (BPFD_FAULTS=all, `make test-faults`), or some at fixed places.
local WALKS_ALL <const> = os.getenv "BPFD_FAULTS" == "all"
local GOLDEN <const> = (math.sqrt(5) - 1) / 2

local fault_points = {}

local function is_same(call, other)
  return other and call.name == other.name and call.by_daemon == other.by_daemon
end

-- Of looks in a row, such as the entries of a directory, the first and the last.
local function is_worth_failing(call, before, after)
  return call.effect ~= "looks" or not (is_same(call, before) and is_same(call, after))
end

-- What happens at a point; which calls are worth it: one that changes nothing is, for who dies
-- there, as good as the last that did.
fault_points.modes = {
  { "fails", arm = "fail", picks = is_worth_failing, is_always = true },
  { "fails for want of room", arm = "fail", error = "ENOSPC",
    picks = function(call) return call.effect == "needs room" end },
  { "ends its job", arm = "kill_caller", is_always = true,
    picks = function(call) return call.effect ~= "looks" and not call.by_daemon end },
  { "ends the daemon", arm = "kill_daemon",
    picks = function(call) return call.effect ~= "looks" end },
}

local function is_one_of(name, names)
  for _, one in ipairs(names) do
    if one == name then return true end
  end
  return false
end

---The calls of a mode: all, or one, which is at another place in each case.
---@param log spec.fault.call[]
---@param mode table      of `fault_points.modes`
---@param number integer  of the case
---@param also string[]?  as in spec.fault.operation
---@return integer[]  places in the log
function fault_points.of(log, mode, number, also)
  local all = {}
  for at, call in ipairs(log) do
    if mode.picks(call, log[at - 1], log[at + 1]) then all[#all + 1] = at end
  end
  if WALKS_ALL or #all == 0 then return all end
  local some, seen = { all[math.floor(number * GOLDEN % 1 * #all) + 1] }, {}
  for at, call in ipairs(also and mode.is_always and log or {}) do
    local key <const> = call.name .. (call.by_daemon and "" or " of a job")
    if is_one_of(call.name, also) and mode.picks(call) and not seen[key] then
      seen[key], some[#some + 1] = true, at
    end
  end
  return some
end

return fault_points
