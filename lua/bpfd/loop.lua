-- The daemon's one event loop: descriptors, timers, signals, and tasks that wait for them.

local uv = require "luv"
local error_object = require "bpf.error"
local log = require "bpfd.log"

local loop = {}

-- luv ends the process when a callback raises; a fault in one request must not.
local function guarded(callback)
  return function(...)
    local good, trace = xpcall(callback, debug.traceback, ...)
    if not good then log.error("a fault of bpfd's own: %s", trace) end
  end
end

--- Calls a function that may raise: an error object that it raises is returned as its error, and so
--- is, once it is in the log, any other fault.
---@return any result, bpf.error? err
function loop.try(run, ...)
  local good, result, err = xpcall(run, debug.traceback, ...)
  if good then return result, err end
  if error_object.is(result) then return nil, result end
  log.error("a fault of bpfd's own: %s", result)
  return nil, error_object.new { code = "EFAULT",
    message = "a fault of bpfd's own; its log says more" }
end

local watch = {}
watch.__index = watch

--- Calls back when the descriptor can be read or written, until stopped. `events` is "r", "w" or
--- "rw", and may be changed by calling `watch:on` again; nil pauses.
---@param fd integer
---@param callback fun(readable: boolean, writable: boolean)
--- Raises an error object where the kernel refuses.
function loop.watch(fd, callback)
  local handle, _, code = uv.new_poll(fd)
  if not handle then
    error(error_object.new { code = code, message = "cannot watch a descriptor: " .. code })
  end
  local self = setmetatable({ handle = handle }, watch)
  self.callback = guarded(function(failure, events)
    if self.handle:is_closing() then return end
    if failure then return callback(true, true) end -- the next read or write says what it is
    callback(events:find "[rd]" ~= nil, events:find "w" ~= nil)
  end)
  return self
end

function watch:on(events)
  if self.events == events or self.handle:is_closing() then return end
  self.events = events
  if events then self.handle:start(events, self.callback) else self.handle:stop() end
end

function watch:close()
  if not self.handle:is_closing() then self.handle:close() end
end

--- Calls back after that many seconds, again and again where `every` is true.
---@return { close: fun(self) } timer
function loop.after(seconds, callback, every)
  local handle = assert(uv.new_timer())
  local milliseconds <const> = math.max(1, math.ceil(seconds * 1000))
  local timer = {}
  function timer.close()
    if not handle:is_closing() then handle:close() end
  end
  local call <const> = guarded(callback)
  handle:start(milliseconds, every and milliseconds or 0, function()
    if not every then timer.close() end
    call()
  end)
  return timer
end

---@param name string  such as "sigterm"
function loop.signal(name, callback)
  local handle = assert(uv.new_signal())
  handle:start(name, guarded(callback))
  return handle
end

--- Runs a function as a task, which may wait. What it raises is logged.
---@param body fun()
function loop.spawn(body)
  coroutine.resume(coroutine.create(guarded(body)))
end

local turns <const> = { first = 1, last = 0 } -- functions that wait for theirs, by number

local function take_turn()
  local call <const> = turns[turns.first]
  turns[turns.first] = nil
  turns.first = turns.first + 1
  if turns.first > turns.last then turns.handle:stop() end
  call()
end

--- Calls a function later: of those that wait so, one each time that the loop has looked at
--- everything else. For work that may wait while what is quick is answered.
---@param call fun()
function loop.in_turn(call)
  turns.last = turns.last + 1
  turns[turns.last] = guarded(call)
  turns.handle = turns.handle or uv.new_idle()
  if turns.first == turns.last then turns.handle:start(take_turn) end
end

--- Waits inside a task. start(resume) is called at once and must see to it that `resume(...)` is
--- called, once and from the loop; its arguments are what `wait` returns.
---@param start fun(resume: fun(...))
function loop.wait(start)
  local thread = coroutine.running()
  local answer, waiting
  start(function(...)
    if waiting then
      coroutine.resume(thread, ...)
    else
      answer = table.pack(...)
    end
  end)
  if answer then return table.unpack(answer, 1, answer.n) end
  waiting = true
  return coroutine.yield()
end

function loop.run()
  uv.run "default"
end

function loop.stop()
  uv.stop()
end

--- Ends the loop for good. luv frees handles that are half closed when the Lua state goes, and
--- walks over them after that: none may be left.
function loop.finish()
  uv.walk(function(handle)
    if not handle:is_closing() then handle:close() end
  end)
  uv.run "default"
end

return loop
