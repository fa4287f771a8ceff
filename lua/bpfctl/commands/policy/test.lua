-- A dry run: what policies would decide of events.

local error_object = require "bpf.error"

local test = {
  name = "test",
  summary = "Show what policies would decide of events, and how long that takes",
  options = {},
  operands = {
    {
      name = "file", kind = "string", repeated = true, required = true,
      text = [[
Policy files (NAME.lua) and files of events (JSON).
Without events those that bpfd has recorded are taken, as shown by
bpfctl policy events; without policies those that are in force.
An events file holds one event, a list of them, or one on each line.]],
    },
  },
  draws = "policy_outcomes",
}

local function read(path)
  local file <close>, why = io.open(path, "rb")
  local text
  if file then text, why = file:read "a" end
  if text then return text end
  return nil, error_object.new { code = "EIO", message = "cannot read " .. why }
end

-- One JSON text, or one on each line.
local function events_of(path)
  local json <const> = require "bpf.json"
  local text, err = read(path)
  if not text then return nil, err end
  local whole <const> = json.decode(text)
  if whole ~= nil then return json.is_array(whole) and whole or { whole } end
  local list, number = {}, 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    if line:find "%S" then
      local event
      event, err = json.decode(line)
      if err then return nil, err:because(("%s:%d"):format(path, number)) end
      list[#list + 1] = event
    end
  end
  return list
end

local function sort_out(paths)
  local policies, events = {}, nil
  for _, path in ipairs(paths) do
    if path:find "%.lua$" then
      policies[#policies + 1] = path
    else
      local more, err = events_of(path)
      if not more then return nil, err end
      events = events or {}
      table.move(more, 1, #more, #events + 1, events)
    end
  end
  return policies, events
end

local function try(paths, events)
  local opened <close>, err = require("bpf.policy").open(paths)
  if not opened then return nil, err end
  local outcomes = {}
  for place, event in ipairs(events) do
    local outcome
    outcome, err = opened:decide(event)
    if not outcome then return nil, err:because(("event %d"):format(place)) end
    outcomes[place] = { on = event.on, decisions = outcome.decisions, amended = outcome.amended }
  end
  return outcomes
end

function test.run(session, arguments)
  local policies, events = sort_out(arguments.file)
  if not policies then return nil, events end
  local result, err
  if not events then
    result, err = session:call("policy.events", {})
    if not result then return nil, err end
    events = result.events
  end
  if #policies > 0 then return try(policies, events) end
  result, err = session:call("policy.test", { events = events })
  return result and result.outcomes, err
end

return test
