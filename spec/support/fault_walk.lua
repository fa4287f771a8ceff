-- Walks the faults of an operation: what is there, the operation with one call failing or being
-- the last, and what is there then, for the daemon that was and for the next one.
local uv = require "luv"
local core = require "bpf.core"
local network = require "bpf.network"
local daemon = require "spec.support.daemon"
local fault = require "spec.support.fault"
local fault_points = require "spec.support.fault_points"
local found = require "spec.support.fault_found"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local REPORT <const> = os.getenv "BPFD_FAULTS_REPORT" -- a file that is told of each case
local SILENCE <const> = 20 -- seconds that an answer may take where a fault ate it

-- Programs that are laid stay, others that are there after a point go.
---@class spec.fault.operation
---@field name string
---@field missing (fun(): string?)?  why this kernel cannot do it
---@field lay fun(walk)?             what is there in all of its cases
---@field lift fun(walk)?            takes away what of that is no program
---@field before (fun(walk): any)?   before each point; what it returns, `run` gets
---@field run fun(walk, any): any, bpf.error?, integer?  the operation; as a call of bpf.client
---@field after fun(walk)?           after each point, so that all is as it was before it
---@field at_start boolean?          it is the start of a daemon
---@field renumbers boolean?         programs that were laid have other numbers after it
---@field also string[]?             calls of which the first, by daemon and job, always fails, or
---  ends its job

local walk = {}
walk.__index = walk

walk.SILENCE = SILENCE

---A daemon under faults, at one end of a veth pair.
---@param options { config: string|function|nil, ready: fun(pair)? }?  ready: called before the
---  daemon starts
function walk.start(options)
  local self = setmetatable({ pair = namespace.pair "veth0", points = 0 }, walk)
  self.faults = fault.new(("/tmp/bpfd-spec-%d-fault"):format(uv.os_getpid()))
  if options and options.ready then options.ready(self.pair) end
  self.served = daemon.start { namespace = self.pair.near, env = self.faults:environment(),
    log_level = "info", config = options and options.config }
  local home <close> = assert(core.system.open "/proc/self/ns/net")
  local far <close> = assert(core.system.open(self.pair.far.path))
  assert(network.enter(far:fd()))
  self.sender = uv.new_udp "inet"
  assert(network.enter(home:fd()))
  return self
end

function walk:close()
  self.sender:close()
  uv.run "nowait"
  self.served:close()
  os.remove(self.faults.path)
  self.pair.far:close()
  self.pair.near:close()
end

---Asks the daemon, and waits no longer than a fault may make it wait.
function walk:call(method, params, descriptors)
  return rpc.call(self.served, method, params, { descriptors = descriptors, timeout = SILENCE })
end

---Loads from an object file, rpc.object when left out.
function walk:load(params, path)
  local file <close> = assert(core.system.open(path or rpc.object))
  local sent = { fd = 0 }
  for key, value in pairs(params) do sent[key] = value end
  return self:call("program.load", sent, { file })
end

---Has the daemon killed at the first call of that name in an operation.
---@param operation fun()
---@param name string
function walk:die_in(operation, name)
  self.faults:arm("kill_daemon", { at = 1, only = name, daemon = self.served.pid })
  pcall(operation)
  assert(self.faults:disarm().fired, "it was not killed")
  self.served.process:wait()
end

function walk:listed()
  return assert(rpc.call(self.served, "program.list")).programs
end

-- What is there now counts as laid.
function walk:keep_all()
  self.laid = {}
  for _, program in ipairs(self:listed()) do self.laid[program.id] = true end
end

-- Unloads all that was not laid.
function walk:unload_others()
  for _, program in ipairs(self:listed()) do
    if not self.laid[program.id] then
      assert(rpc.call(self.served, "program.unload", { id = program.id }))
    end
  end
end

local function clean(self, operation)
  if operation.after then operation.after(self) end
  self:unload_others()
end

local function is_settled(self) return #self.served:working() == 0 end

-- Another daemon finds what there is.
local function come_back(self)
  self.served:kill()
  self.served:restart()
end

-- "done", "refused" by the daemon's own word, or nothing: of a job that was killed, too.
local function answer_of(mode, good, result, err, rpc_code)
  if not good then return nil, tostring(result) end
  if result ~= nil then return "done" end
  return rpc_code and mode.arm == "fail" and "refused" or nil, tostring(err)
end

-- One point: the operation with the fault, what is then, and what the next daemon finds.
local function try(self, operation, case, mode, at)
  local prepared = operation.before and operation.before(self)
  self.faults:arm(mode.arm, { at = at, error = mode.error,
    daemon = not operation.at_start and self.served.pid or nil })
  local told, err = answer_of(mode, pcall(operation.run, self, prepared))
  local outcome = self.faults:disarm()
  outcome.told = err
  local alive <const> = self.served.process:alive()
  if alive and mode.arm == "fail" then
    -- a read that failed, and changed nothing, is nothing that the next daemon could find
    found.check(found.look(self), told, case.old, case.new)
  end
  if not alive or mode.arm ~= "fail" or case.log[at].effect ~= "looks" then
    come_back(self)
    process.eventually(function() return is_settled(self) end)
    found.check(found.look(self), told, case.old, case.new)
  end
  clean(self, operation)
  return outcome
end

-- Without a fault: which calls there are, and what is old and new.
local function count(self, operation)
  local case = { old = operation.at_start and found.look(self) }
  local prepared = operation.before and operation.before(self)
  case.old = case.old or found.look(self)
  self.faults:arm("count", { daemon = not operation.at_start and self.served.pid or nil })
  local result <const>, err = operation.run(self, prepared)
  process.eventually(function() return is_settled(self) end)
  case.log = self.faults:disarm().log
  assert(result, tostring(err))
  case.new = found.look(self)
  clean(self, operation)
  assert(#case.log > 20, "too few calls: " .. #case.log)
  return case
end

local function report(operation, mode, walked, started)
  if not REPORT then return end
  local file <close> = assert(io.open(REPORT, "a"))
  file:write(("%5d points in %5.0f s: %s, when a call %s\n"):format(walked,
    (uv.hrtime() - started) / 1e9, operation.name, mode[1]))
end

-- Lines that only one of two scans has.
local function difference(before, after)
  local more_of, lines = {}, {}
  for line in before:gmatch "[^\n]+" do more_of[line] = (more_of[line] or 0) - 1 end
  for line in after:gmatch "[^\n]+" do more_of[line] = (more_of[line] or 0) + 1 end
  for line, more in pairs(more_of) do
    if more ~= 0 then lines[#lines + 1] = ("%+d %s\n"):format(more, line) end
  end
  table.sort(lines)
  return table.concat(lines)
end

-- Without numbers, by which lists are sorted, too.
local function without_numbers(text)
  local lines = {}
  for line in text:gsub("/%d+", "/N"):gmatch "[^\n]+" do
    if line:sub(1, 1) ~= "{" then lines[#lines + 1] = line end
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

-- What is there, once it equals that of `before`, or the last within three seconds: the daemon may
-- have something to try again.
local function scan(self, operation, before)
  local text
  process.eventually(function()
    text = rpc.masked(residue.scan(self.served))
    if operation.renumbers then text = without_numbers(text) end
    return not before or text == before
  end, 3000)
  return text
end

local function walk_point(self, operation, case, mode, at, before)
  local outcome
  local good, failure = pcall(function() outcome = try(self, operation, case, mode, at) end)
  if good then
    local after = scan(self, operation, before)
    if before == after then return nil end
    failure = ("residue:\n%stold: %s"):format(difference(before, after), outcome.told)
  end
  local call <const> = case.log[at]
  return ("at call %d of %d, %s of %s: %s\n%s"):format(at, #case.log, call.name,
    call.by_daemon and "the daemon" or "a job", tostring(failure),
    self.served:log_text():sub(-2000))
end

-- After a point that failed, so that the next can be walked.
local function mend(self, operation, before)
  return pcall(function()
    come_back(self)
    clean(self, operation)
    assert(scan(self, operation, before) == before)
  end)
end

local function walk_mode(self, operation, case, mode, number)
  local before, started, walked = scan(self, operation), uv.hrtime(), 0
  local failures = {}
  for _, at in ipairs(fault_points.of(case.log, mode, number, operation.also)) do
    local failure <const> = walk_point(self, operation, case, mode, at, before)
    failures[#failures + 1] = failure
    walked = walked + 1
    if failure and not mend(self, operation, before) then
      failures[#failures + 1] = "the walk ends here: what is left stays"
      break
    end
  end
  report(operation, mode, walked, started)
  if #failures > 0 then error(table.concat(failures, "\n--------\n"), 0) end
end

local function begin(self, operation)
  if operation.lay then operation.lay(self) end
  self:keep_all()
  return count(self, operation)
end

---Declares the tests of these operations in one `describe` and with one daemon.
---@param busted table  describe, it and so on: a spec file's _ENV
---@param operations spec.fault.operation[]
---@param options table?  as for `walk.start`
function walk.declare(busted, operations, options)
  local describe <const>, it <const> = busted.describe, busted.it
  local setup <const>, teardown <const> = busted.setup, busted.teardown
  local self

  setup(function() self = walk.start(options) end)
  teardown(function() self:close() end)

  for place, operation in ipairs(operations) do
    describe(operation.name, function()
      local case

      teardown(function()
        if not case then return end
        if operation.lift then operation.lift(self) end
        rpc.unload_all(self.served)
      end)

      for of_it, mode in ipairs(fault_points.modes) do
        it(("loses and leaves nothing when a call %s"):format(mode[1]), function()
          local missing <const> = operation.missing and operation.missing()
          if missing then return busted.pending(missing) end
          case = case or begin(self, operation)
          walk_mode(self, operation, case, mode, place * #fault_points.modes + of_it)
        end)
      end
    end)
  end
end

return walk
