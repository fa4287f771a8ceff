-- Shows the events that bpfd has recorded, for policies to be tried on.

local events = {
  name = "events",
  summary = "Show the last events that policies were asked about or told of",
  options = {},
  draws = "policy_events",
}

function events.run(session)
  local result, err = session:call("policy.events", {})
  return result and result.events, err
end

return events
