-- Heavy work in forked children: plain synchronous Lua there, one JSON message back.

local core = require "bpf.core"
local error_object = require "bpf.error"
local frame = require "bpf.frame"
local json = require "bpf.json"
local fairness = require "bpfd.fairness"
local log = require "bpfd.log"
local loop = require "bpfd.loop"

local system <const> = core.system

local job = {}

-- Jobs of one lane wait for each other only: a registry that is slow holds up no local load.
-- seconds: a verification of a million instructions takes two; what pulls has timeouts of its own.
local lanes <const> = {
  work = { most = 4, seconds = 300, count = 0, queue = {} },
  pull = { most = 4, seconds = 4 * 3600, count = 0, queue = {} },
}
local LOG_SIZE <const> = 64 * 1024

local running = {}
local child_signal
local shared = {} -- descriptors that every child keeps

--- Descriptors that every child keeps, such as the lock that says that work goes on.
function job.share(descriptors)
  shared = descriptors
end

--- Children that have not ended.
function job.count()
  local count = 0
  for _, lane in pairs(lanes) do count = count + lane.count end
  return count
end

-- The end of a verifier's log is where the reason stands.
local function shorten(err)
  if type(err.log) == "string" and #err.log > LOG_SIZE then
    err.log = "[...]\n" .. err.log:sub(-LOG_SIZE)
  end
  return err
end

local function plain(err)
  local copy = {}
  for key, value in pairs(err) do copy[key] = value end
  return shorten(copy)
end

local function be_child(work, pipe, socket)
  local function send(message) system.write(pipe, json.encode(message) .. "\n") end
  local function progress(step, done, total)
    send { progress = { step = step, done = done, total = total } }
  end
  local function ask(question)
    assert(frame.send(socket, question))
    local answer <const> = assert(frame.receive(socket, ""), "nobody answers any more")
    if answer.error then return nil, error_object.new(answer.error) end
    return answer.result
  end
  local good, result, err, is_broken_off = xpcall(work, debug.traceback, progress, ask)
  if not good and error_object.is(result) then
    send { error = plain(result), is_broken_off = true }
  elseif not good then
    send { fault = tostring(result) }
  elseif result == nil then
    send { error = plain(err), is_broken_off = is_broken_off }
  else
    send { result = result }
  end
  system.leave(0)
end

-- What ended, as nil and an error object.
local function bad_end(self)
  if self.cancelled then
    return nil, error_object.new { code = "ECANCELED", message = self.cancelled }
  end
  local how = self.status.signal and "signal " .. self.status.signal
    or "exit status " .. tostring(self.status.code)
  if self.timed_out then
    return nil, error_object.new { code = "ETIMEDOUT",
      message = ("the work took longer than %d seconds"):format(self.lane.seconds) }
  end
  log.error("a job died: %s", how)
  return nil, error_object.new { code = "EFAULT",
    message = ("the process that did the work died (%s)"):format(how) }
end

local function outcome(self)
  local message = self.message
  if message == nil then return bad_end(self) end
  if message.result ~= nil then return message.result end
  if message.error then return nil, error_object.new(message.error) end
  log.error("a fault of bpfd's own, in a job: %s", message.fault)
  return nil, error_object.new { code = "EFAULT",
    message = "a fault of bpfd's own; its log says more" }
end

-- In a task of its own. A child that has died meanwhile needs no answer any more.
local function answer_question(self, question)
  local good, result, err = xpcall(self.answer, debug.traceback, question)
  if not good then
    log.error("a fault of bpfd's own, answering a job: %s", result)
    result, err = nil, error_object.new { code = "EFAULT",
      message = "a fault of bpfd's own; its log says more" }
  end
  if self.at_end then return end
  frame.send(self.socket, { result = result, error = result == nil and plain(err) or nil })
end

local function read_question(self)
  local bytes, err = self.socket:receive()
  if not bytes and err.code == "EAGAIN" then return end
  if not bytes or bytes == "" then return self.socket_watch:close() end
  local question
  question, self.asked = frame.take(self.asked .. bytes)
  if question ~= nil then loop.spawn(function() answer_question(self, question) end) end
end

local function take_line(self, line)
  local message = json.decode(line)
  if type(message) ~= "table" then
    log.error("a job said what nobody understands")
  elseif not message.progress then
    self.message = message
  elseif self.progress then
    local step <const> = message.progress
    self.progress(step.step, step.done, step.total)
  end
end

local function read_messages(self)
  local bytes, err = system.read(self.pipe)
  if not bytes then return err.code ~= "EAGAIN" end
  if bytes == "" then return true end
  self.text = self.text .. bytes
  while true do
    local line, rest = self.text:match "^([^\n]*)\n(.*)$"
    if not line then return false end
    self.text = rest
    take_line(self, line)
  end
end

local start ---@type fun(self: table)

local function take_next(lane)
  local beside = {}
  for pid, one in pairs(running) do
    if one.lane == lane then beside[pid] = one end
  end
  return table.remove(lane.queue, fairness.next_job(lane.queue, beside))
end

local function finish_if_over(self)
  if not self.at_end then return end
  local status = self.status or system.wait(self.pid)
  if not status then return end
  self.status = status
  running[self.pid] = nil
  self.timer:close()
  if self.socket then
    self.socket_watch:close()
    self.socket:close()
  end
  local lane <const> = self.lane
  lane.count = lane.count - 1
  self.resume()
  while lane.count < lane.most and #lane.queue > 0 do start(take_next(lane)) end
end

local function watch(self)
  self.watch = loop.watch(self.pipe:fd(), function()
    if not read_messages(self) then return end
    self.watch:close()
    self.pipe:close()
    self.at_end = true
    finish_if_over(self)
  end)
  self.watch:on "r"
  if self.socket then
    self.socket_watch = loop.watch(self.socket:fd(), function() read_question(self) end)
    self.socket_watch:on "r"
  end
  self.timer = loop.after(self.lane.seconds, function()
    self.timed_out = true
    system.kill(self.pid, "KILL")
  end)
end

local function kept_by(self, ...)
  local keep = { ... }
  for _, list in ipairs { shared, self.keep or {} } do
    for _, descriptor in ipairs(list) do keep[#keep + 1] = descriptor end
  end
  return keep
end

-- A pipe for what the child says and, where it may ask, a socket for that.
local function fork(self)
  local from, to = system.pipe()
  if not from then return nil, to end
  local ours, theirs
  if self.answer then ours, theirs = core.socket.pair() end
  local pid, err
  if self.answer and not ours then
    err = theirs
  else
    pid, err = system.fork(kept_by(self, to, theirs))
  end
  if pid == 0 then
    pcall(be_child, self.work, to, theirs)
    system.leave(70) -- whatever happens, a child never comes back into the loop
  end
  to:close()
  if ours then theirs:close() end
  self.pipe, self.socket, self.asked = from, ours, ""
  return pid, err
end

-- A child that nobody can listen to.
local function give_up(self, why)
  for _, watched in ipairs { self.watch or false, self.socket_watch or false } do
    if watched then watched:close() end
  end
  system.kill(self.pid, "KILL")
  system.wait(self.pid, true)
  running[self.pid] = nil
  self.pipe:close()
  if self.socket then self.socket:close() end
  self.at_end = true
  return nil, why
end

local function fork_and_watch(self)
  local pid, err = fork(self)
  if not pid then return nil, err end
  self.pid, self.text = pid, ""
  running[pid] = self
  local good, why = pcall(watch, self)
  if good then return true end
  if not error_object.is(why) then error(why, 0) end
  return give_up(self, why)
end

function start(self)
  if self.cancelled then return self.resume() end
  child_signal = child_signal or loop.signal("sigchld", function()
    -- finishing one starts another, and so changes the table
    local jobs = {}
    for _, one in pairs(running) do jobs[#jobs + 1] = one end
    for _, one in ipairs(jobs) do finish_if_over(one) end
  end)
  self.lane.count = self.lane.count + 1
  local good, err = fork_and_watch(self)
  if good then return end
  self.lane.count = self.lane.count - 1
  self.failure = err
  self.resume()
end

--- Ends a job that nobody wants any more; its `run` then returns an error. False when it is over.
---@param why string
function job.cancel(self, why)
  if self.at_end or self.message then return false end
  self.cancelled = why
  if self.pid then
    system.kill(self.pid, "KILL")
    return true
  end
  local queue <const> = self.lane.queue
  for place, other in ipairs(queue) do
    if other == self then
      table.remove(queue, place)
      loop.after(0, self.resume)
      break
    end
  end
  return true
end

--- Ends all jobs of a lane.
---@param name string
---@param why string
function job.cancel_lane(name, why)
  local lane <const> = lanes[name]
  local jobs = table.move(lane.queue, 1, #lane.queue, 1, {})
  for _, one in pairs(running) do
    if one.lane == lane then jobs[#jobs + 1] = one end
  end
  for _, one in ipairs(jobs) do job.cancel(one, why) end
end

--- Runs work(progress, ask) in a child and waits. What it returns comes back by JSON; so does an
--- error object that it raises, which breaks the work off in its midst, as a third result says that
--- it could not tidy up. In a job
--- nothing of the loop and of the database may be touched; what the work needs to know of these in
--- its midst, it asks: ask(question) waits for what `answer` returns.
---@param work fun(progress: fun(step: string, done: integer, total: integer),
---  ask: fun(question: any): any, bpf.error?): any, bpf.error?, boolean?
---@param options { keep: table?, progress: function?, started: fun(job: table)?,
---  answer: (fun(question: any): any, bpf.error?)?, lane: string?,
---  owner: { uid: integer, connection: any }? }?
---  keep: descriptors that the child has too; started: called with the job, for `job.cancel`;
---  answer: in a task of the daemon's; what it gets and returns is plain;
---  lane: "work" when left out, "pull" for what waits for others' machines; owner: for whom it is,
---  nil for work of the daemon's own, which waits for no client's
---@return any result, bpf.error? err, integer? died  the pid, if the work did not come to its end
function job.run(work, options)
  local self = { work = work }
  for key, value in pairs(options or {}) do self[key] = value end
  local lane <const> = lanes[self.lane or "work"]
  self.lane = lane
  if self.started then self.started(self) end
  loop.wait(function(resume)
    self.resume = resume
    if lane.count < lane.most then start(self) else table.insert(lane.queue, self) end
  end)
  if self.failure then return nil, self.failure end
  local result, err = outcome(self)
  local died <const> = not self.message or self.message.fault or self.message.is_broken_off
  return result, err, died and self.pid or nil
end

return job
