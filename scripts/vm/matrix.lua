-- Runs the same command in the test VM on several kernels, one after the other, tells what it
-- prints as it comes, and ends with one table: kernel by spec file. Ctrl-C ends it with the table
-- of what is known by then. Usage: matrix.lua COMMAND KERNEL...
-- Fails unless every kernel ran to its end without a failure.
local uv = require "luv"

local command, kernels = arg[1], table.move(arg, 2, #arg, 1, {})
local runs, files, seen = {}, {}, {}
local ok, stopped_by = true, nil

---Keeps the counts of a line that spec/run.lua printed, or has begun to.
local function take(run, line)
  print("  " .. line)
  local file = line:match "^(%S+_spec%.lua) "
  if file then
    local counts = line:match " (%d+ passed.-) +%(" or "not done"
    run.results[file] = counts:gsub(" passed", ""):gsub(" failed", " FAILED")
    if not seen[file] then files[#files + 1] = file end
    seen[file] = true
  end
  run.total = line:match "^%d+ passed, %d+ failed, %d+ skipped$" or run.total
end

local machine -- the process of the VM that runs now

local function run_on(kernel)
  local run = { results = {} }
  runs[kernel] = run
  print("kernel " .. kernel)
  local output, rest, open = uv.new_pipe(), "", true
  -- one pipe for both, so that lines keep their order
  machine = assert(uv.spawn("sh", {
    args = { "-c", 'exec scripts/vm/run.sh "$0" "$1" 2>&1', kernel, command },
    stdio = { nil, output, 2 },
  }, function(code, signal) run.status = signal ~= 0 and 128 + signal or code end))
  output:read_start(function(_, chunk)
    if not chunk then open = false return end
    rest = rest .. chunk
    for line in rest:gmatch "([^\n]*)\n" do take(run, line) end
    rest = rest:match "[^\n]*$"
  end)
  while open or not run.status do uv.run "once" end
  if rest ~= "" then take(run, rest) end
  output:close()
  machine:close()
  machine = nil
  ok = ok and run.status == 0 and run.total ~= nil
end

-- run.sh ends its VM at either; at a terminal's Ctrl-C it has had the signal already.
for _, name in ipairs { "sigint", "sigterm" } do
  local signal = uv.new_signal()
  signal:start(name, function()
    stopped_by = name
    if machine then machine:kill "sigterm" end
  end)
  signal:unref()
end

io.stdout:setvbuf "line"
for _, kernel in ipairs(kernels) do
  if not stopped_by then run_on(kernel) end
end
table.sort(files)

local function row(name, cell)
  local line = ("%-44s"):format(name)
  for _, kernel in ipairs(kernels) do
    line = line .. (" %-22s"):format(cell(runs[kernel] or { results = {} }, kernel))
  end
  print((line:gsub("%s+$", "")))
end

print ""
row("passed", function(_, kernel) return "kernel " .. kernel end)
for _, file in ipairs(files) do
  row(file, function(run) return run.results[file] or "-" end)
end
row("all", function(run)
  return run.total and run.total:gsub(" passed", ""):gsub(", 0 failed", "") or "not done"
end)
row("exit status", function(run) return tostring(run.status or "-") end)
if stopped_by then print("stopped by " .. stopped_by:upper()) end
os.exit(ok and not stopped_by)
