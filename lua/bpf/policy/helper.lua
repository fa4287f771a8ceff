-- The process that policies run in: a fork without rights, which is asked over a socket and can be
-- ended whatever it does.

local core = require "bpf.core"
local failure = require "bpf.policy.failure"
local policy_set = require "bpf.policy.set"

local sandbox <const>, system <const> = core.sandbox, core.system

local helper = {}

local ENDED <const>, TIME_IS_UP <const> = 128, 27 -- exit status: 128 and a signal; SIGPROF

--- A message as it is sent: plain values with their length before them.
---@return string
function helper.frame(value)
  return string.pack("<s4", sandbox.pack(value))
end

--- The first message of what has been received, and what follows it; nothing while it is not whole.
---@param bytes string
---@return table? message, string rest
function helper.take(bytes)
  if #bytes < 4 or #bytes < 4 + string.unpack("<I4", bytes) then return nil, bytes end
  local packed, at = string.unpack("<s4", bytes)
  return sandbox.unpack(packed), bytes:sub(at)
end

local function send(socket, value)
  local bytes <const> = helper.frame(value)
  local at = 1
  while at <= #bytes do
    local sent, err = socket:send(bytes, nil, at)
    if sent then
      at = at + sent
    elseif err.code ~= "EAGAIN" or not socket:wait "w" then
      system.leave(1)
    end
  end
end

local function receive(socket, unread)
  while true do
    local message, rest = helper.take(unread)
    if message then return message, rest end
    unread = rest
    if not socket:wait "r" then system.leave(1) end
    local bytes, err = socket:receive()
    if bytes == "" or not bytes and err.code ~= "EAGAIN" then system.leave(0) end
    unread = unread .. (bytes or "")
  end
end

-- Ends this process when what runs now takes too long, having said which it was.
local function watch_with(socket, limits)
  local milliseconds <const> = math.max(1, math.ceil(limits.time * 1000))
  local words = {}
  return function(what)
    if not what then return sandbox.watch(0, socket, "") end
    words[what] = words[what] or helper.frame { ended_in = what }
    sandbox.watch(milliseconds, socket, words[what])
  end
end

local function plain_error(err)
  return { message = err.message, code = err.code, advice = err.advice }
end

-- In the child: says what it has loaded, then answers one event after the other.
local function serve(socket, sources, limits)
  local confined, err = sandbox.confine()
  if not confined then return send(socket, { broken = plain_error(err) }) end
  local set
  set, err = policy_set.open(sources, limits, watch_with(socket, limits))
  if not set then return send(socket, { broken = plain_error(err) }) end
  send(socket, { hooks = set.hooks, lines = set.lines })
  local unread = ""
  while true do
    local message
    message, unread = receive(socket, unread)
    if message.event then
      send(socket, set:decide(message.event))
    else
      send(socket, { memory = set:memory() })
    end
  end
end

--- Forks one, which begins to load at once.
---@param sources { path: string, text: string }[]
---@param limits { instructions: integer, memory: integer, time: number }
---@return { pid: integer, socket: table }?, bpf.error? err
function helper.fork(sources, limits)
  local ours, theirs = core.socket.pair()
  if not ours then return nil, theirs end
  local pid, err = system.fork { theirs }
  if pid == 0 then
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
