-- `make soak`: a random and seeded mix of all that is done to a daemon, with kills, restarts,
-- interfaces that go and traffic, against a model of what should be loaded. What does not agree
-- ends it with the seed and the step. SOAK_SECONDS (3600), SOAK_SEED (1); SOAK_LOAD_SECONDS (0):
-- before that, so long a load of 64 clients, for the figure. SPEC_RESULTS=FILE: tells how it ended
-- there, as spec files do.
local uv = require "luv"
local daemon = require "spec.support.daemon"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"
local model = require "spec.support.soak_model"
local results_form = require "spec.support.results_form"
local bench_clients = require "scripts.bench_clients"
local figures = require "scripts.figures"
local operations = require "scripts.soak_operations"

local SECONDS <const> = tonumber(os.getenv "SOAK_SECONDS") or 3600
local SEED <const> = math.tointeger(tonumber(os.getenv "SOAK_SEED" or "1"))
local LOAD_SECONDS <const> = tonumber(os.getenv "SOAK_LOAD_SECONDS") or 0
local CHECK <const> = 10 -- steps between two checks of everything
local PREFIX <const> = "bpfd-soak"

local soak = { model = model.new(), ifaces = {}, declared = {}, counts = {}, recent = {}, step = 0,
  sent = 0, checks = 0, figures = figures.new() }

local function choose()
  local total = 0
  for _, weight in ipairs(operations.weights) do total = total + weight[2] end
  local dice = math.random(total)
  for _, weight in ipairs(operations.weights) do
    dice = dice - weight[2]
    if dice <= 0 then return weight[1] end
  end
end

-- Every packet has met the member that has been first all the time.
function soak:check_traffic()
  local function seen() return rpc.hits(self.anchor_program) end
  process.eventually(function() return seen() == self.sent end)
  assert(seen() == self.sent, ("of %d packets the first member has seen %d"):format(self.sent,
    seen()))
end

local function check()
  soak.checks = soak.checks + 1
  soak.model:check(soak.daemon)
  if not soak.stop_traffic then soak:check_traffic() end
end

local function do_step(name)
  soak.step = soak.step + 1
  soak.counts[name] = (soak.counts[name] or 0) + 1
  table.insert(soak.recent, ("%d %s"):format(soak.step, name))
  if #soak.recent > 20 then table.remove(soak.recent, 1) end
  operations[name](soak)
  if soak.step % CHECK == 0 then check() end
end

local function run()
  soak.pair = namespace.pair("veth0", PREFIX)
  soak.daemon = daemon.start { namespace = soak.pair.near, prefix = PREFIX, log_level = "info" }
  operations.set_up(soak)
  if LOAD_SECONDS > 0 then
    bench_clients.list(soak.figures, soak.daemon, { "veth0", "veth1", "veth2", "veth3" },
      LOAD_SECONDS)
    check()
  end
  local deadline <const> = uv.hrtime() + SECONDS * 1e9
  while uv.hrtime() < deadline do do_step(choose()) end
  if soak.stop_traffic then operations.traffic(soak) end
  check()
  rpc.unload_all(soak.daemon)
  soak.model = model.new()
  soak.model:check(soak.daemon)
  local fault = soak.daemon:log_text():match "[^\n]*fault of bpfd's own[^\n]*"
  assert(not fault, fault)
end

local function close()
  if soak.stop_traffic then pcall(soak.stop_traffic) end
  if soak.daemon then soak.daemon:close() end
  if soak.pair then
    soak.pair.near:close()
    soak.pair.far:close()
  end
end

-- What was done, in one line.
local function summary()
  local parts = {}
  for _, weight in ipairs(operations.weights) do
    parts[#parts + 1] = ("%s %d"):format(weight[1]:gsub("_", " "), soak.counts[weight[1]] or 0)
  end
  return ("soak: seed %d, %d steps in %d seconds, %d checks, %d packets: %s"):format(SEED,
    soak.step, SECONDS, soak.checks, soak.sent, table.concat(parts, ", "))
end

local function tell(good, message)
  local path <const> = os.getenv "SPEC_RESULTS"
  if not path then return end
  local file <close> = assert(io.open(path, "a"))
  assert(file:write(results_form.line { status = good and "passed" or "failed",
    name = ("%d seconds of everything"):format(SECONDS), message = message }))
  assert(file:write(results_form.line { status = "complete", name = "" }))
end

math.randomseed(SEED)
local good, failure = xpcall(run, debug.traceback)
if not good then
  failure = ("seed %d, step %d: %s\nthe last steps: %s\nthe end of the log:\n%s"):format(SEED,
    soak.step, failure, table.concat(soak.recent, ", "),
    soak.daemon and soak.daemon:log_text():sub(-4000) or "")
  io.stderr:write("soak: ", failure, "\n")
end
close()
if LOAD_SECONDS > 0 then soak.figures:print() end
print(summary())
tell(good, failure)
os.exit(good)
