-- The processes that do jobs: copies of the daemon, each for one job; or for one after the other of
-- those that can be told it. To fork is dear for whoever goes on: each page that is written
-- afterwards is copied first.

local core = require "bpf.core"
local bpf = require "bpf"
local error_object = require "bpf.error"
local frame = require "bpf.frame"
local json = require "bpf.json"
local log = require "bpfd.log"
local loop = require "bpfd.loop"
local portable = require "bpfd.portable"
local service = require "bpfd.service"

local system <const> = core.system

local job_process = {}
job_process.__index = job_process

local LOG_SIZE <const> = 64 * 1024
local MOST_TOLD <const> = 128 << 10 -- bytes: they fit into a socket at once, and nobody waits
local MOST_DESCRIPTORS <const> = 16 -- core/socket.h
local MOST_JOBS <const> = 100 -- of one process
local WORKS <const>, WAITS <const> = "bpfd-job", "bpfd-idle" -- as ps calls them

local shared = {} -- descriptors that every child keeps

--- Descriptors that every process keeps, such as the lock that says that work goes on.
function job_process.share(descriptors)
  shared = descriptors
end

-- The end of a verifier's log is where the reason stands.
local function shorten(err)
  if type(err.log) == "string" and #err.log > LOG_SIZE then
    err.log = "[...]\n" .. err.log:sub(-LOG_SIZE)
  end
  return err
end

--- What JSON carries of an error object.
---@param err bpf.error
---@return table
function job_process.plain(err)
  local copy = {}
  for key, value in pairs(err) do copy[key] = value end
  return shorten(copy)
end

local plain <const> = job_process.plain

-- The child: what it does, and what it says.

local function tell(pipe, message) system.write(pipe, json.line(message)) end

-- Does the work; what came of it is the last that is said of it.
local function perform(work, pipe, socket)
  local function progress(step, done, total)
    tell(pipe, { progress = { step = step, done = done, total = total } })
  end
  local function ask(question)
    assert(frame.send(socket, question))
    local answer <const> = assert(frame.receive(socket, ""), "nobody answers any more")
    if answer.error then return nil, error_object.new(answer.error) end
    return answer.result
  end
  local good, result, err, is_broken_off = xpcall(work, debug.traceback, progress, ask)
  if not good and error_object.is(result) then
    return { error = plain(result), is_broken_off = true }
  elseif not good then
    return { fault = tostring(result) }
  elseif result == nil then
    return { error = plain(err), is_broken_off = is_broken_off }
  end
  return { result = result }
end

-- What it is told to do next, and what came with that; nil when there is no more.
local function receive_call(socket)
  local text, descriptors = "", {}
  while true do
    local call <const> = frame.take(text)
    if call ~= nil then return call, descriptors end
    if not socket:wait "r" then return nil end
    local bytes, received = socket:receive()
    if not bytes and received.code ~= "EAGAIN" or bytes == "" then return nil end
    text = text .. (bytes or "")
    for _, descriptor in ipairs(bytes and received or {}) do
      descriptors[#descriptors + 1] = descriptor
    end
  end
end

-- The work of a call, in whichever process.
local function work_of(call)
  return function(progress, ask)
    return require(call.module).perform(call.arguments, progress, call.asks and ask or nil)
  end
end

-- One job after the other. Before an answer nothing of its job is held any more, as if the process
-- had ended: neither by a descriptor nor by being in another's namespace.
local function serve(pipe, socket)
  local home <const> = assert(system.open "/proc/self/ns/net")
  local kept <const> = table.move(shared, 1, #shared, 4, { pipe, socket, home })
  for count = 1, MOST_JOBS do
    local call, descriptors = receive_call(socket)
    if not call then return end
    system.set_name(WORKS)
    call.arguments = portable.unpack(call.arguments, descriptors)
    local message <const> = perform(work_of(call), pipe, socket)
    message.stays = count < MOST_JOBS and not message.fault and not message.is_broken_off
      and bpf.network.enter(home:fd()) and system.release(kept) or nil
    if message.stays then system.set_name(WAITS) end
    tell(pipe, message)
    if not message.stays then return end
    collectgarbage()
  end
end

-- work: a function, a call, or nil: it will be told.
local function be_child(work, pipe, socket)
  system.set_name(work and WORKS or WAITS)
  service.go_behind()
  if work then
    tell(pipe, perform(type(work) == "table" and work_of(work) or work, pipe, socket))
  else
    serve(pipe, socket)
  end
  system.leave(0)
end

-- The daemon's side.

local function take_line(self, line)
  local message = json.decode(line)
  if type(message) ~= "table" or not self.job then
    log.error("a job said what nobody understands")
  elseif message.progress then
    self.job:progressed(message.progress)
  else
    -- one that is killed may have done its work all the same, and does no other
    self.job.message, self.is_idle = message, message.stays == true and not self.is_killed
  end
end

-- True at its end.
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

-- In a task of its own. A child that has died meanwhile needs no answer any more.
local function answer_question(self, job, question)
  local result, err = loop.try(job.answer, question)
  if self.at_end then return end
  frame.send(self.socket, { result = result, error = result == nil and plain(err) or nil })
end

local function read_question(self)
  local bytes, err = self.socket:receive()
  if not bytes and err.code == "EAGAIN" then return end
  if not bytes or bytes == "" then return self.socket_watch:close() end
  local question
  question, self.asked = frame.take(self.asked .. bytes)
  local job <const> = self.job
  if question ~= nil and job then
    loop.spawn(function() answer_question(self, job, question) end)
  end
end

local function watch(self)
  self.watch = loop.watch(self.pipe:fd(), function()
    if read_messages(self) then
      self.watch:close()
      self.pipe:close()
      self.at_end = true
    end
    if self.at_end or self.is_idle then self.done(self) end
  end)
  self.watch:on "r"
  if self.socket then
    self.socket_watch = loop.watch(self.socket:fd(), function() read_question(self) end)
    self.socket_watch:on "r"
  end
end

local function kept_by(first, second, more)
  local keep = { first, second }
  for _, list in ipairs { shared, more } do table.move(list, 1, #list, #keep + 1, keep) end
  return keep
end

-- A pipe for what the child says and, where it is to be told or answered something, a socket.
local function fork(self, work, options)
  local from, to = system.pipe()
  if not from then return nil, to end
  local ours, theirs
  if options.has_socket then ours, theirs = core.socket.pair() end
  local pid, err
  if options.has_socket and not ours then
    err = theirs
  else
    pid, err = system.fork(kept_by(to, theirs, options.keep or {}))
  end
  if pid == 0 then
    pcall(be_child, work, to, theirs)
    system.leave(70) -- whatever happens, a child never comes back into the loop
  end
  to:close()
  if ours then theirs:close() end
  self.pid, self.pipe, self.socket = pid, from, ours
  return pid, err
end

-- A child that nobody can listen to.
local function give_up(self, why)
  for _, watched in ipairs { self.watch or false, self.socket_watch or false } do
    if watched then watched:close() end
  end
  system.kill(self.pid, "KILL")
  system.wait(self.pid, true)
  self.pipe:close()
  if self.socket then self.socket:close() end
  self.at_end = true
  return nil, why
end

---@class bpfd.job_call  work as what it needs, and not as a function that has it
---@field module string    whose `perform(arguments, progress, ask)` does it
---@field arguments table
---@field asks boolean?    it may ask; else `ask` is nil

--- Forks one: for this work alone or, without any, for what it is told by `take`.
---@param work (fun(progress: function, ask: function)|bpfd.job_call)?
---@param options { keep: table?, has_socket: boolean?, done: fun(process: table) }
---  keep: descriptors that it has, too; has_socket: the work asks; done: called when a job's last
---  message is there and the process waits for another (`is_idle`), and when it has said its last
---  (`at_end`)
---@return table? process  job: what it does, an object with `progressed`, `answer` and `message`
---@return bpf.error? err
function job_process.start(work, options)
  local self = setmetatable({ text = "", asked = "", done = options.done, is_idle = not work },
    job_process)
  local pid, err = fork(self, work, { keep = options.keep,
    has_socket = options.has_socket or not work })
  if not pid then return nil, err end
  local good, why = pcall(watch, self)
  if good then return self end
  if not error_object.is(why) then error(why, 0) end
  return give_up(self, why)
end

--- What a process would have to be told to do work: nil where it cannot be told.
---@param call bpfd.job_call
---@return { bytes: string, descriptors: table }? message
function job_process.message(call)
  local nodes, descriptors = portable.pack(call.arguments)
  if not nodes or #descriptors > MOST_DESCRIPTORS then return nil end
  local bytes <const> = frame.of { module = call.module, arguments = nodes, asks = call.asks }
  if #bytes > MOST_TOLD then return nil end
  return { bytes = bytes, descriptors = descriptors }
end

--- Tells one that is idle.
---@return boolean  false: it has not taken it, and is good for nothing
function job_process:take(message)
  local sent <const> = self.socket:send(message.bytes, message.descriptors)
  self.is_idle = false
  return sent == #message.bytes
end

function job_process:kill()
  self.is_killed = true
  system.kill(self.pid, "KILL")
end

--- Lets it go, once it has done what it does.
function job_process:dismiss() self.socket:shutdown "w" end

--- How it ended, once it has; then nothing of it is left.
---@return { code: integer?, signal: integer? }?
function job_process:ended()
  if not self.at_end then return nil end
  self.status = self.status or system.wait(self.pid)
  if not self.status then return nil end
  if self.socket and not self.is_over then
    self.socket_watch:close()
    self.socket:close()
  end
  self.is_over = true
  return self.status
end

return job_process
