-- The daemon's end of the process that policies run in: one question at a time, and the loop never
-- waits for an answer.

local system = require("bpf.core").system
local error_object = require "bpf.error"
local frame = require "bpf.frame"
local helper = require "bpf.policy.helper"
local loop = require "bpfd.loop"
local service = require "bpfd.service"

local process = {}
process.__index = process

local LOADING <const> = 10 -- seconds of the clock, for all files together
local ANSWER <const>, TIMES <const> = 2, 40 -- seconds at least; and times what one hook may run

-- The process has ended, or is ended now: whoever waits is told why.
local function finish(self, timed_out)
  if self.is_over then return end
  self.is_over = true
  self.watch:close()
  self.socket:close()
  system.kill(self.pid, "KILL")
  local status = system.wait(self.pid, true) or { code = 0 }
  local err, hook = helper.explain(self.last, status, timed_out, self.places, self.limits)
  self:answer(nil, err, hook)
end

function process:answer(...)
  local resume <const> = self.resume
  self.resume = nil
  if not resume then return end
  self.timer:close()
  resume(...)
end

local function receive(self)
  local bytes, err = self.socket:receive()
  if not bytes and err.code == "EAGAIN" then return end
  if not bytes or bytes == "" then return finish(self, false) end
  local message
  message, self.received = frame.take(self.received .. bytes)
  if message and message.ended_in then
    self.last = message
  elseif message then
    self:answer(message)
  end
end

local function send(self)
  if self.unsent ~= "" then
    local sent, err = self.socket:send(self.unsent)
    if sent then
      self.unsent = self.unsent:sub(sent + 1)
    elseif err.code ~= "EAGAIN" then
      return finish(self, false)
    end
  end
  self.watch:on(self.unsent ~= "" and "rw" or "r")
end

local function await(self, seconds)
  return loop.wait(function(resume)
    self.resume = resume
    self.timer = loop.after(seconds, function() finish(self, true) end)
    send(self)
  end)
end

--- Forks one and waits, in a task, until it has run the files.
---@param sources { path: string, text: string }[]
---@param limits { instructions: integer, memory: integer, time: number }
---@return table? process, bpf.error? err
function process.start(sources, limits)
  local forked, err = helper.fork(sources, limits, service.go_among)
  if not forked then return nil, err end
  local self = setmetatable({ pid = forked.pid, socket = forked.socket, limits = limits,
    received = "", unsent = "", places = {} }, process)
  for place, source in ipairs(sources) do self.places[place] = { file = source.path } end
  self.watch = loop.watch(self.socket:fd(), function(readable, writable)
    if writable then send(self) end
    if readable and not self.is_over then receive(self) end
  end)
  local loaded
  loaded, err = await(self, LOADING)
  if loaded and loaded.broken then
    loaded, err = nil, error_object.new(loaded.broken)
    self:close()
  end
  if not loaded then return nil, err end
  self.hooks, self.places, self.lines = loaded.hooks, loaded.hooks, loaded.lines
  return self
end

--- Asks one thing, in a task; whoever else asks waits outside (bpfd.policy).
---@param message { event: table? }
---@return table? answer, bpf.error? err, string? hook  that it died in
function process:ask(message)
  assert(not self.resume, "one question at a time")
  self.unsent = frame.of(message)
  return await(self, math.max(ANSWER, TIMES * self.limits.time))
end

function process:close()
  finish(self, false)
end

return process
