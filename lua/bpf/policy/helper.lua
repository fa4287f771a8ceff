-- The process that policies run in: a fork without rights, which is asked over a socket and can be
-- ended whatever it does.

local core = require "bpf.core"
local failure = require "bpf.policy.failure"
local frame = require "bpf.frame"
local policy_set = require "bpf.policy.set"

local sandbox <const>, system <const> = core.sandbox, core.system

local helper = {}

local ENDED <const>, TIME_IS_UP <const> = 128, 27 -- exit status: 128 and a signal; SIGPROF

-- Ends this process when what runs now takes too long, having said which it was.
local function watch_with(socket, limits)
  local milliseconds <const> = math.max(1, math.ceil(limits.time * 1000))
  local words = {}
  return function(what)
    if not what then return sandbox.watch(0, socket, "") end
    words[what] = words[what] or frame.of { ended_in = what }
    sandbox.watch(milliseconds, socket, words[what])
  end
end

local function plain_error(err)
  return { message = err.message, code = err.code, advice = err.advice }
end

-- In the child: says what it has loaded, then answers one event after the other.
local function serve(socket, sources, limits)
  local confined, err = sandbox.confine()
  if not confined then return frame.send(socket, { broken = plain_error(err) }) end
  local set
  set, err = policy_set.open(sources, limits, watch_with(socket, limits))
  if not set then return frame.send(socket, { broken = plain_error(err) }) end
  local answer, unread = { hooks = set.hooks, lines = set.lines }, ""
  while frame.send(socket, answer) do
    local message
    message, unread = frame.receive(socket, unread)
    if not message then return end
    answer = message.event and set:decide(message.event) or { memory = set:memory() }
  end
end

--- Forks one, which begins to load at once.
---@param sources { path: string, text: string }[]
---@param limits { instructions: integer, memory: integer, time: number }
---@param first fun()?  called in it before its rights are gone
---@return { pid: integer, socket: table }?, bpf.error? err
function helper.fork(sources, limits, first)
  local ours, theirs = core.socket.pair()
  if not ours then return nil, theirs end
  local pid, err = system.fork { theirs }
  if pid == 0 then
    if first then pcall(first) end
    pcall(serve, theirs, sources, limits)
    system.leave(70)
  end
  theirs:close()
  if pid then return { pid = pid, socket = ours } end
  ours:close()
  return nil, err
end

--- What ended a helper, by its last message and its exit.
---@param last { ended_in: integer? }?
---@param status { code: integer?, signal: integer? }
---@param timed_out boolean
---@param places { file: string, line: integer?, name: string? }[]  of what it may have been in
---@param limits { time: number }
---@return bpf.error err, string? hook
function helper.explain(last, status, timed_out, places, limits)
  local place <const> = last and last.ended_in and places[last.ended_in]
    or { file = "the policies", name = nil }
  local what <const> = place.name and place.name .. " " or "it "
  local kind, how
  if timed_out then
    kind, how = "wall", "has not answered in time"
  elseif status.code == ENDED + TIME_IS_UP then
    kind, how = "time", ("has run for %g ms"):format(limits.time * 1000)
  else
    kind, how = "crash", ("has crashed the process that it runs in (%s %d)"):format(
      status.signal and "signal" or "status", status.signal or status.code - ENDED)
  end
  return failure.new(kind, what .. how, place.file, place.line), place.name
end

return helper
