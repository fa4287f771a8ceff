-- The site's own rules: which are in force, what they decide, and how they are changed. They run in
-- a process of their own (bpf.policy.helper) that lives while there are any.

local sandbox = require("bpf.core").sandbox
local error_object = require "bpf.error"
local json = require "bpf.json"
local events = require "bpf.policy.events"
local sources = require "bpf.policy.sources"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local loop = require "bpfd.loop"
local policy_event = require "bpfd.policy.event"
local process = require "bpfd.policy.process"

local policy = {}
policy.__index = policy

local KEEP <const> = 64 -- recorded events
local LARGEST <const> = 16 << 10 -- bytes of a recorded event
local MOST_TOLD <const> = 1000 -- observing events that wait to be told
local TURN <const> = { "policy" } -- the lock of whoever asks the process
local RELOAD <const> = "mend it, then bpfctl policy reload"

---@param directory string  policy.d
---@param limits table      of the configuration
function policy.new(directory, limits)
  return setmetatable({ directory = directory, limits = limits, sources = {}, hooks = {},
    asks = {}, recorded = {}, waiting = 0 }, policy)
end

local function write_lines(lines)
  for _, line in ipairs(lines or {}) do log[line.level]("%s: %s", line.hook, line.text) end
end

local function put_in_force(self, read, started)
  local before <const> = self.process
  self.sources, self.process, self.broken, self.problem = read, started, nil, nil
  self.hooks, self.asks = started and started.hooks or {}, {}
  for _, hook in ipairs(self.hooks) do
    for event in pairs(events.heard(hook.on)) do self.asks[event] = true end
  end
  if started then write_lines(started.lines) end
  if before then before:close() end
  log.info("%d policy hooks of %d files are in force", #self.hooks, #read)
end

-- Reads and runs what is in the directory now; nothing of what is in force is touched before that
-- has gone well.
local function read_anew(self)
  local read, err = sources.directory(self.directory)
  if not read then return nil, err end
  local started
  if #read > 0 then
    started, err = process.start(read, self.limits)
    if not started then return nil, err end
  end
  local turn <close> = lock.hold(TURN) -- luacheck: ignore turn
  put_in_force(self, read, started)
  return true
end

local function said(err)
  return err.advice and ("%s; %s"):format(tostring(err), err.advice) or tostring(err)
end

--- At the start, in a task. Broken policies do not keep the daemon from telling and keeping what
--- runs; but until they are mended it denies all that a policy could decide.
function policy:start()
  local good, err = read_anew(self)
  if good then return end
  self.broken, self.problem = err, said(err)
  log.error("the policies are broken, and so everything that they decide is denied: %s", said(err))
end

--- The policies as they are in the directory now, in a task. What is broken changes nothing.
---@return true? ok, bpf.error? err
function policy:reload()
  local good, err = read_anew(self)
  if good then return true end
  self.problem = said(err)
  log.error("the policies are not reloaded, those before stay in force: %s", said(err))
  return nil, err
end

--- Whether events of this name are worth making: all that can be decided are recorded, so that a
--- new policy can be tried on them; what has happened only where a hook hears of it.
---@param on string
---@return boolean
function policy:wants(on)
  if self.asks[on] then return true end
  return events.is_deciding[on] == true and (#self.sources > 0 or self.broken ~= nil)
end

local function record(self, event)
  local packed = sandbox.pack(event)
  if #packed > LARGEST then return end
  table.insert(self.recorded, packed)
  if #self.recorded > KEEP then table.remove(self.recorded, 1) end
end

local function log_amendments(event, outcome)
  for _, change in ipairs(outcome.amended) do
    log.info("%s amends %s of user %d: %s is %s, not %s", change.hook, event.on, event.peer.uid,
      change.field, json.encode(change.to), json.encode(change.from or json.null))
  end
end

-- The process, made anew if the one before has been ended.
local function living(self)
  if not self.process.is_over then return self.process end
  local started, err = process.start(self.sources, self.limits)
  if not started then return nil, err end
  self.process = started
  return started
end

-- Asks the hooks; in a task, whose turn comes.
local function ask(self, event)
  local turn <close> = lock.hold(TURN) -- luacheck: ignore turn
  if not self.asks[event.on] then return { amended = {}, decisions = {} } end
  local asked, err = living(self)
  if not asked then return nil, err end
  local outcome, hook
  outcome, err, hook = asked:ask { event = event }
  if outcome then write_lines(outcome.lines) end
  return outcome, err, hook
end

-- What fails denies: the request is not at fault, but nobody can say that it is allowed.
local function failed(on, reason, advice, hook)
  log.error("%s failed, and so %s is denied: %s", hook, on, reason)
  return nil, error_object.new { code = "EACCES", hook = hook, advice = advice,
    message = ("the policy %s failed, and so denies %s: %s"):format(hook, on, reason) }
end

--- Asks whether something may be; in a task. The event is as it was asked for: amendments are only
--- told.
---@param event table  of bpfd.policy.event
---@return { amended: table[] }? outcome
---@return bpf.error? err  with `hook`, the one that denies
function policy:decide(event)
  local on <const> = event.on
  if self.broken then
    return failed(on, self.broken.message, RELOAD, "core/policies")
  end
  local outcome, err, hook = ask(self, event)
  record(self, event)
  if not outcome then return failed(on, err.message, err.advice, hook or "core/policies") end
  log_amendments(event, outcome)
  local denied <const> = outcome.denied
  if not denied then return outcome end
  if denied.decision == "failed" then
    return failed(on, denied.reason, denied.advice, denied.hook)
  end
  log.info("%s denies %s of user %d: %s", denied.hook, on, event.peer.uid, denied.reason)
  return nil, error_object.new { code = "EACCES", hook = denied.hook,
    message = ("the policy %s denies it: %s"):format(denied.hook, denied.reason) }
end

-- Failures of hooks that only observe are told to the log alone.
local function told(self, event)
  local outcome, err = ask(self, event)
  record(self, event)
  if not outcome then return log.error("%s", said(err)) end
  for _, decision in ipairs(outcome.decisions) do
    if decision.decision == "failed" then log.error("%s", decision.reason) end
  end
end

--- Tells what has happened. Nobody waits for it.
---@param on string
---@param peer table?   nil: the daemon itself
---@param fields table?
function policy:tell(on, peer, fields)
  if not self:wants(on) then return end
  if self.waiting >= MOST_TOLD then
    return log.warning("%s is not told to the policies: %d events wait", on, self.waiting)
  end
  local event <const> = policy_event.new(on, peer or policy_event.own_peer(), fields)
  self.waiting = self.waiting + 1
  loop.spawn(function()
    local good, err = pcall(told, self, event)
    self.waiting = self.waiting - 1
    if not good then error(err, 0) end
  end)
end

--- The last events, asked about or told of; the oldest first.
---@return table[]
function policy:events()
  local list = {}
  for place, packed in ipairs(self.recorded) do list[place] = sandbox.unpack(packed) end
  return list
end

--- A dry run: what the policies in force would decide of events, in a process of its own, so that
--- nothing that hooks keep or do is of consequence. In a task.
---@param list table[]  events
---@return bpf.policy.outcome[]? outcomes, bpf.error? err
function policy:try(list)
  if self.broken then return nil, self.broken end
  local one_at_a_time <close> = lock.hold { "policy test" } -- luacheck: ignore one_at_a_time
  local outcomes, asked, err = {}, nil, nil
  if #self.sources > 0 then
    asked, err = process.start(self.sources, self.limits)
    if not asked then return nil, err end
  end
  for place, event in ipairs(list) do
    local outcome = { amended = {}, decisions = {} }
    if asked then outcome, err = asked:ask { event = event } end
    if not outcome then return nil, err:because(("event %d"):format(place)) end
    outcomes[place] = outcome
  end
  if asked then asked:close() end
  return outcomes
end

--- Bytes that each file has in use; nothing where no file is in force.
---@return table<string, integer>
function policy:memory()
  local turn <close> = lock.hold(TURN) -- luacheck: ignore turn
  if not self.process or self.process.is_over then return {} end
  local answer = self.process:ask {}
  return answer and answer.memory or {}
end

function policy:close()
  if self.process then self.process:close() end
end

return policy
