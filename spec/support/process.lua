-- Runs programs for specs, demo and bench: arguments as they are, output and exit status back.
local uv = require "luv"

local process = {}

-- How many times longer than usual things may take: where a machine is emulated, say.
local PATIENCE <const> = tonumber(os.getenv "SPEC_PATIENCE") or 1

-- A daemon may hang up on a spec that writes to it; that is for the spec to see, not to die of.
local broken_pipe = uv.new_signal()
broken_pipe:start("sigpipe", function() end)
broken_pipe:unref()

---@class process.result
---@field stdout string
---@field stderr string
---@field exit integer     exit status; 128 + signal if it was killed
---@field seconds number   wall time

local function environment_with(changes)
  local merged, list = uv.os_environ(), {}
  for name, value in pairs(changes or {}) do merged[name] = value or nil end
  for name, value in pairs(merged) do list[#list + 1] = name .. "=" .. value end
  return list
end

---Waits until `check` gives something true and returns that; something false when time is up.
---@param check fun(): any
---@param milliseconds? integer 10000 when left out
function process.eventually(check, milliseconds)
  local deadline = uv.hrtime() + (milliseconds or 10000) * 1000000 * PATIENCE
  repeat
    local value = check()
    if value then return value end
    uv.sleep(2)
  until uv.hrtime() > deadline
  return check()
end

local function first_line(path)
  local file <close> = io.open(path)
  return file and file:read "l"
end

---The children of a process with one thread that still run.
---@param pid integer
---@return table<integer, string> children  what each is called, by pid
function process.children(pid)
  local found = {}
  local list = first_line(("/proc/%d/task/%d/children"):format(pid, pid)) or ""
  for child in list:gmatch "%d+" do
    found[math.tointeger(tonumber(child))] = first_line(("/proc/%s/comm"):format(child))
  end
  return found
end

---Runs a program to its end.
---@param arguments string[]  the program and its arguments
---@param options? table  env (false unsets), stdin, cwd, seconds (60)
---@return process.result
function process.run(arguments, options)
  options = options or {}
  local streams = { uv.new_pipe(), uv.new_pipe(), uv.new_pipe() }
  local text, open, status = { {}, {} }, 2, nil
  local started = uv.hrtime()
  local child, pid = uv.spawn(arguments[1], {
    args = table.move(arguments, 2, #arguments, 1, {}),
    env = environment_with(options.env), cwd = options.cwd, stdio = streams,
  }, function(code, signal) status = signal ~= 0 and 128 + signal or code end)
  if not child then
    for _, stream in ipairs(streams) do stream:close() end
    error(("cannot run %s: %s"):format(arguments[1], pid), 2)
  end
  for i = 1, 2 do
    streams[i + 1]:read_start(function(_, chunk)
      if chunk then table.insert(text[i], chunk) else open = open - 1 end
    end)
  end
  if options.stdin then streams[1]:write(options.stdin) end
  streams[1]:shutdown()
  local timer, timed_out = uv.new_timer(), false
  timer:start((options.seconds or 60) * 1000 * PATIENCE, 0, function()
    timed_out = true
    uv.kill(pid, "sigkill")
    open = 0 -- grandchildren may hold the streams
  end)
  repeat uv.run "once" until status and open <= 0
  local seconds = (uv.hrtime() - started) / 1e9
  for _, handle in ipairs { child, timer, table.unpack(streams) } do handle:close() end
  uv.run "nowait"
  if timed_out then
    error(("%s did not end:\n%s"):format(table.concat(arguments, " "), table.concat(text[2])), 2)
  end
  return { stdout = table.concat(text[1]), stderr = table.concat(text[2]), exit = status,
    seconds = seconds }
end

---Runs a program that must succeed; returns what it printed.
---@return string stdout
function process.check(arguments, options)
  local result = process.run(arguments, options)
  if result.exit ~= 0 then
    error(("%s: exit %d\n%s%s"):format(table.concat(arguments, " "), result.exit, result.stdout,
      result.stderr), 2)
  end
  return result.stdout
end

---@class process.running
---@field pid integer
---@field status? integer  set once it has ended: exit status, or 128 + signal
local running = {}
running.__index = running

---Starts a program and goes on.
---@param arguments string[]
---@param options? table  env, output (the file for stdout and stderr)
---@return process.running
function process.start(arguments, options)
  options = options or {}
  local path = options.output or "/dev/null"
  local output = assert(uv.fs_open(path, "a", tonumber("600", 8)))
  local self = setmetatable({}, running)
  local child, pid = uv.spawn(arguments[1], {
    args = table.move(arguments, 2, #arguments, 1, {}),
    env = environment_with(options.env), stdio = { nil, output, output },
  }, function(code, signal)
    self.status = signal ~= 0 and 128 + signal or code
    self.child:close()
  end)
  uv.fs_close(output)
  if not child then error(("cannot run %s: %s"):format(arguments[1], pid), 2) end
  self.child, self.pid = child, pid
  return self
end

---@return boolean
function running:alive()
  uv.run "nowait"
  return self.status == nil
end

---@param signal string  "sigterm", "sigkill" ...
function running:signal(signal)
  if self:alive() then uv.kill(self.pid, signal) end
end

---@param milliseconds? integer
---@return integer|nil status  nil if it has not ended in time
function running:wait(milliseconds)
  process.eventually(function() return not self:alive() end, milliseconds)
  return self.status
end

return process
