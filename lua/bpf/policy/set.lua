-- All policies together: their hooks in order, and what they decide of an event.

local amendment = require "bpf.policy.amendment"
local events = require "bpf.policy.events"
local failure = require "bpf.policy.failure"
local order = require "bpf.policy.order"
local policy_file = require "bpf.policy.file"
local system = require("bpf.core").system

local LONGEST_REASON <const> = 1024

---@class bpf.policy.decision
---@field hook string
---@field decision "none"|"deny"|"amend"|"failed"
---@field reason string?      of a deny and a failure
---@field advice string?      of a failure
---@field microseconds number

---@class bpf.policy.outcome
---@field decisions bpf.policy.decision[]  one for each hook that was asked, in order
---@field amended { hook: string, field: string, from: any, to: any }[]
---@field denied bpf.policy.decision?      the one that ends it
---@field lines { hook: string, level: string, text: string }[]  for the log

---@class bpf.policy.set
---@field hooks bpf.policy.hook[]  in order
---@field lines table[]            for the log, of the files themselves
local set = {}
set.__index = set

local function no_watch() end

--- Runs the files and orders their hooks.
---@param sources { path: string, text: string }[]
---@param limits { instructions: integer, memory: integer }
---@param watch (fun(what: integer?))?  called before a file or a hook of that number runs, and
---  without a number behind it: whoever ends what hangs
---@return bpf.policy.set?, bpf.error? err
function set.open(sources, limits, watch)
  local self = setmetatable({ files = {}, by_event = {}, lines = {},
    watch = watch or no_watch }, set)
  local hooks, err = {}, nil
  for place, source in ipairs(sources) do
    self.watch(place)
    local file
    file, err = policy_file.open(source, limits)
    self.watch()
    if not file then break end
    self.files[source.path] = file
    for _, line in ipairs(file.lines) do
      table.insert(self.lines, { hook = source.path, level = line.level, text = line.text })
    end
    table.move(file.hooks, 1, #file.hooks, #hooks + 1, hooks)
  end
  if not err then self.hooks, err = order(hooks) end
  if err then
    self:close()
    return nil, err
  end
  for number, hook in ipairs(self.hooks) do
    hook.number = number
    for event, name in pairs(events.heard(hook.on)) do
      self.by_event[event] = self.by_event[event] or {}
      table.insert(self.by_event[event], { hook = hook, name = name })
    end
  end
  return self
end

local function nonsense(hook, said)
  return failure.new("error", ("%s has returned %s; a hook returns nothing, hooks.deny(reason) "
    .. "or hooks.amend { ... }"):format(hook.name, said), hook.file, hook.line)
end

local function amend(outcome, event, hook, wanted)
  if not events.is_amendable[event.on] then
    return nil, failure.new("error", ("%s amends %s, which cannot be amended"):format(hook.name,
      event.on), hook.file, hook.line)
  end
  local changes, complaint = amendment.changes(event, wanted)
  if not changes then return nil, failure.new("error", complaint, hook.file, hook.line) end
  for _, change in ipairs(changes) do
    change.hook = hook.name
    amendment.apply(event, change)
    table.insert(outcome.amended, change)
  end
  return #changes > 0 and "amend" or "none"
end

-- The word for what a hook has said, or nil and what is wrong with it.
local function take(outcome, event, hook, said)
  if not said or not events.is_deciding[event.on] then return "none" end
  if said.nonsense then return nil, nonsense(hook, said.nonsense) end
  if said.deny then return "deny" end
  return amend(outcome, event, hook, said.amend)
end

local function run_hook(self, outcome, event, hook)
  local started <const> = system.clock "monotonic"
  self.watch(hook.number)
  local said, lines = self.files[hook.file]:call(hook, event)
  self.watch()
  local decision, err
  if said == nil then
    err = lines
  else
    decision, err = take(outcome, event, hook, said)
  end
  local made = { hook = hook.name, decision = decision or "failed",
    microseconds = (system.clock "monotonic" - started) / 1000 }
  if err then
    made.reason, made.advice = err.message, err.advice
  elseif decision == "deny" then
    made.reason = said.deny:sub(1, LONGEST_REASON)
  end
  for _, line in ipairs(said ~= nil and lines or {}) do
    table.insert(outcome.lines, { hook = hook.name, level = line.level, text = line.text })
  end
  table.insert(outcome.decisions, made)
  return made
end

--- Asks the hooks of an event, one after the other. The first that denies or fails ends it, where
--- there is something to decide; observing hooks are all told. Amendments change the event.
---@param event table  with `on`
---@return bpf.policy.outcome
function set:decide(event)
  local outcome = { decisions = {}, amended = {}, lines = {} }
  local on <const> = event.on
  for _, listener in ipairs(self.by_event[on] or {}) do
    event.on = listener.name
    local made = run_hook(self, outcome, event, listener.hook)
    local ends <const> = made.decision == "deny" or made.decision == "failed"
    if ends and events.is_deciding[on] then
      outcome.denied = made
      break
    end
  end
  event.on = on
  return outcome
end

--- Bytes in use, by file.
---@return table<string, integer>
function set:memory()
  local memory = {}
  for path, file in pairs(self.files) do memory[path] = file:memory() end
  return memory
end

function set:close()
  for _, file in pairs(self.files) do file:close() end
end

return set
