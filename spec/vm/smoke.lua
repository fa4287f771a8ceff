-- `make test` proves here, on a stock kernel in the test VM, what a hardened or old kernel under it
-- cannot: extension programs, kprobes, fentry, TCX. Runs what has "#smoke" in its name, and tells
-- the results as a spec file does.
local results_form = require "spec.support.results_form"

-- The first that can be had. Fetching may take its time; booting and running may not.
local KERNELS <const> = { "6.12", "6.1" }
local FETCH_SECONDS <const>, RUN_SECONDS <const> = 600, 1500
local UNAVAILABLE <const> = 69

local SPECS <const> = {
  "spec/kernel/daemon_freplace_spec.lua",
  "spec/kernel/probe_kernel_spec.lua",
  "spec/kernel/probe_tcx_spec.lua",
  "spec/kernel/chain_model_spec.lua",
  "spec/kernel/map_spec.lua",
}

local BUILD <const> = os.getenv "BUILD" or "build"
local RESIDENT <const> = ("scripts/vm/resident.sh sh lua5.4 nsenter ip tc %s/bpfd %s/bpfctl \z
  %s/bpf/core.so"):format(BUILD, BUILD, BUILD)

local file <close> = assert(io.open(assert(os.getenv "SPEC_RESULTS", "spec/run.lua starts this"),
  "a"))

local function tell(result) assert(file:write(results_form.line(result))) end

---Runs a shell's command line, gives each line to `take` and returns the exit status.
local function run(command, take)
  local pipe <close> = assert(io.popen(command .. " 2>&1"))
  for line in pipe:lines() do take(line) end
  local _, how, status = pipe:close()
  return how == "signal" and 128 + status or status
end

local function fetch()
  local reasons = {}
  for _, kernel in ipairs(KERNELS) do
    local words = {}
    local status = run(("timeout %d scripts/vm/kernel.sh %s"):format(FETCH_SECONDS, kernel),
      function(line) words[#words + 1] = line end)
    if status == 0 then return kernel end
    reasons[#reasons + 1] = table.concat(words, "\n")
    if status ~= UNAVAILABLE then return nil, "failed", table.concat(reasons, "\n") end
  end
  return nil, "skipped", table.concat(reasons, "\n")
end

-- What the specs here are given, for those there.
local function environment()
  local words = { "BPFD_CHAINS=5", "SPEC_JOBS=1", "SPEC_PATIENCE=10", "SPEC_RESULTS=/dev/stdout" }
  for _, name in ipairs { "LUA_PATH", "LUA_CPATH", "BUILD" } do
    local value = os.getenv(name)
    if value then words[#words + 1] = ('%s="%s"'):format(name, value) end
  end
  return table.concat(words, " ")
end

---Runs the specs on the kernel. What goes wrong with the VM itself is a failure of its own.
local function run_specs(kernel)
  local told, complete, words = 0, false, {}
  local inside = ("%s; %s lua5.4 spec/run.lua --tags=smoke %s"):format(RESIDENT, environment(),
    table.concat(SPECS, " "))
  -- one CPU: what this machine has more of is tested on it, and a second one only takes turns
  local command = ("VM_CPUS=1 VM_TIMEOUT=%d scripts/vm/run.sh %s '%s'"):format(RUN_SECONDS, kernel,
    inside)
  local status = run(command, function(line)
    local result = results_form.read(line)
    if not result then
      words[#words + 1] = line
      print(line)
      local empty = line:match "^(%S+_spec%.lua)%s+0 passed  %("
      if empty then tell { status = "failed", name = empty .. " has nothing tagged #smoke" } end
    elseif result.status == "complete" then
      complete = true
    else
      told = told + 1
      result.name = ("kernel %s: %s"):format(kernel, result.name:gsub(" #smoke", ""))
      tell(result)
    end
  end)
  if not complete or told == 0 then
    tell { status = "failed", name = "the test VM, kernel " .. kernel,
      message = ("exit status %s, %d results, then:\n%s"):format(status, told,
        table.concat(words, "\n", math.max(1, #words - 30))) }
  end
end

local kernel, status, reason = fetch()
if kernel then
  run_specs(kernel)
else
  tell { status = status, name = "the test VM", message = reason }
end
tell { status = "complete", name = "" }
