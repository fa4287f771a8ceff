-- Tables of `policy list`, `check`, `test` and `events`.

local columns <const> = require "bpfctl.format.columns"
local printable = require "bpfctl.printable"

local draw = {}

local function text_of(value)
  if type(value) == "table" then return table.concat(value, ", ") end
  return value == nil and "None" or tostring(value)
end

-- Labels under each other, behind an empty line.
local function labelled(rows)
  local width = 0
  for _, row in ipairs(rows) do width = math.max(width, #row[1]) end
  local lines = { "\n" }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = (" %s  %s\n"):format(row[1] .. (" "):rep(width - #row[1]),
      printable(row[2]))
  end
  return table.concat(lines)
end

--- `policy list` and `policy check`, which has no state to tell.
function draw.policies(policies)
  local rows = {}
  for _, hook in ipairs(policies.hooks) do
    local place = printable(("%s:%d"):format(hook.file, hook.line))
    for at, event in ipairs(hook.on) do
      rows[#rows + 1] = { at == 1 and hook.name or "", event, at == 1 and place or "" }
    end
  end
  local drawn <const> = columns({ "Hook", "On", "File" }, rows)
  if policies.in_force == nil then return drawn end
  local state = { { "In Force:",
    policies.in_force and "yes" or "no, all that they decide is denied" } }
  if policies.process then
    table.insert(state, { "Process:", ("%d, with %d KiB of its own"):format(policies.process.pid,
      policies.process.private // 1024) })
  end
  if policies.problem then table.insert(state, { "Problem:", policies.problem }) end
  return drawn .. labelled(state)
end

local function changes_of(outcome, hook)
  local changes = {}
  for _, change in ipairs(outcome.amended) do
    if change.hook == hook then
      changes[#changes + 1] = ("%s: %s -> %s"):format(change.field, text_of(change.from),
        text_of(change.to))
    end
  end
  return table.concat(changes, "; ")
end

--- `policy test`.
function draw.policy_outcomes(outcomes)
  local rows = {}
  for number, outcome in ipairs(outcomes) do
    local event <const> = ("%d %s"):format(number, outcome.on)
    for _, decision in ipairs(outcome.decisions) do
      rows[#rows + 1] = { event, decision.hook, decision.decision,
        ("%.0f"):format(decision.microseconds),
        printable(decision.reason or changes_of(outcome, decision.hook)) }
    end
    if #outcome.decisions == 0 then
      rows[#rows + 1] = { event, "", "none", "", "no hook is for it" }
    end
  end
  return columns({ "Event", "Hook", "Decision", "Microseconds", "Reason" }, rows)
end

--- `policy events`.
function draw.policy_events(events)
  local rows = {}
  for i, event in ipairs(events) do
    local attach <const> = event.attach or {}
    rows[i] = { tostring(event.time), event.on, tostring(event.peer.uid),
      printable(tostring(event.name or event.id or event.image_url or event.iface or "")),
      printable(tostring(attach.iface or attach.tracepoint or attach.fn_name or "")) }
  end
  return columns({ "Time", "Event", "User", "What", "Where" }, rows)
end

return draw
