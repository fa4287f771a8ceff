-- Heavy work in other processes: plain synchronous Lua there, one message back.

local error_object = require "bpf.error"
local fairness = require "bpfd.fairness"
local job_process = require "bpfd.job_process"
local log = require "bpfd.log"
local loop = require "bpfd.loop"

local job = {}
job.__index = job

-- Jobs of one lane wait for each other only: a registry that is slow holds up no local load.
-- seconds: a verification of a million instructions takes two; what pulls has timeouts of its own.
local lanes <const> = {
  work = { most = 4, seconds = 300, running = {}, count = 0, queue = {} },
  pull = { most = 4, seconds = 4 * 3600, running = {}, count = 0, queue = {} },
}
local IDLE <const> = 5 -- seconds that a process waits for its next job

local processes = {} -- a set: of those that have not ended
local idle = {} -- a stack of those that wait, with the timer of each
local child_signal

job.share = job_process.share

--- Jobs that have not ended.
function job.count()
  local count = 0
  for _, lane in pairs(lanes) do count = count + lane.count end
  return count
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

-- Called by its process.
function job:progressed(step)
  if self.progress then self.progress(step.step, step.done, step.total) end
end

local start ---@type fun(self: table)

local function start_next(lane)
  while lane.count < lane.most and #lane.queue > 0 do
    start(table.remove(lane.queue, fairness.next_job(lane.queue, lane.running)))
  end
end

local function finish(self)
  local lane <const> = self.lane
  lane.running[self] = nil
  lane.count = lane.count - 1
  self.at_end = true
  self.timer:close()
  self.resume() -- at once: who sees no job any more finds written down what it has done
  start_next(lane)
end

local function stop_waiting(process)
  for place, other in ipairs(idle) do
    if other == process then
      process.patience:close()
      return table.remove(idle, place)
    end
  end
  return nil
end

local function await_next(process)
  process.patience = loop.after(IDLE, function()
    stop_waiting(process)
    process:dismiss()
  end)
  idle[#idle + 1] = process
end

-- What a process has become: idle, or over.
local function look_at(process)
  local status <const> = process:ended()
  if not status and not process.is_idle then return end
  local one <const> = process.job
  process.job = nil
  if status then
    processes[process] = nil
    stop_waiting(process)
  elseif one then
    await_next(process)
  end
  if not one then return end
  one.status = status
  finish(one)
end

local function mind_children()
  child_signal = child_signal or loop.signal("sigchld", function()
    local all = {} -- finishing one starts another, and so changes the table
    for process in pairs(processes) do all[#all + 1] = process end
    for _, process in ipairs(all) do look_at(process) end
  end)
end

local function fork(self, work)
  mind_children()
  local process <const>, err = job_process.start(work, { keep = work and self.keep,
    has_socket = self.answer ~= nil, done = look_at })
  if process then processes[process] = true end
  return process, err
end

-- By a process that is told, where that is possible: there may be one already.
local function tell(self)
  local message <const> = type(self.work) == "table" and job_process.message(self.work)
  if not message then return nil end
  local process <const> = #idle > 0 and stop_waiting(idle[#idle]) or fork(self)
  if not process then return nil end
  process.job = self
  if process:take(message) then return process end
  process.job = nil
  process:kill()
  return nil
end

local function find_process(self)
  local told <const> = tell(self)
  if told then return told end
  local process, err = fork(self, self.work)
  if not process then return nil, err end
  process.job = self
  return process
end

function start(self)
  if self.cancelled then return self.resume() end
  local lane <const> = self.lane
  lane.count = lane.count + 1
  lane.running[self] = self
  self.process, self.failure = find_process(self)
  if self.process then
    self.timer = loop.after(lane.seconds, function()
      self.timed_out = true
      self.process:kill()
    end)
    return
  end
  lane.running[self] = nil
  lane.count = lane.count - 1
  self.resume()
end

--- Ends a job that nobody wants any more; its `run` then returns an error. False when it is over.
---@param why string
function job.cancel(self, why)
  if self.at_end or self.message then return false end
  self.cancelled = why
  if self.process then
    self.process:kill()
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
  for one in pairs(lane.running) do jobs[#jobs + 1] = one end
  for _, one in ipairs(jobs) do job.cancel(one, why) end
end

--- Runs work(progress, ask) in another process and waits. What it returns comes back by JSON; so
--- does an error object that it raises, which breaks the work off in its midst, as a third result
--- says that it could not tidy up. In a job
--- nothing of the loop and of the database may be touched; what the work needs to know of these in
--- its midst, it asks: ask(question) waits for what `answer` returns.
---@param work bpfd.job_call|fun(progress: fun(step: string, done: integer, total: integer),
---  ask: fun(question: any): any, bpf.error?): any, bpf.error?, boolean?  a call can also be told
---  to a process that is no copy of this moment's daemon, and may have done other jobs before
---@param options { keep: table?, progress: function?, started: fun(job: table)?,
---  answer: (fun(question: any): any, bpf.error?)?, lane: string?,
---  owner: { uid: integer, connection: any }? }?
---  keep: descriptors that the child has too; started: called with the job, for `job.cancel`;
---  answer: in a task of the daemon's; what it gets and returns is plain;
---  lane: "work" when left out, "pull" for what waits for others' machines; owner: for whom it is,
---  nil for work of the daemon's own, which waits for no client's
---@return any result, bpf.error? err, integer? died  the pid, if the work did not come to its end
function job.run(work, options)
  local self = setmetatable({ work = work }, job)
  for key, value in pairs(options or {}) do self[key] = value end
  if type(work) == "table" then work.asks = self.answer ~= nil end
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
  return result, err, died and self.process and self.process.pid or nil
end

return job
