-- Runs every spec file in a process of its own, some side by side, and ends with what failed, once
-- more, and the line `N passed, N failed, N skipped`. Zero tests are a failure, and so is a skip
-- without a reason.
-- Usage: lua5.4 spec/run.lua [--smoke] [--soak] [FILE or DIRECTORY ...] [--filter=PATTERN ...]
-- --smoke: beside them some in the test VM (spec/vm/smoke.lua); --soak: behind them five minutes of
-- everything (scripts/soak.lua; SOAK_SECONDS). SPEC_RESULTS=FILE: tells each result there too, as
-- spec files tell theirs. SPEC_UNDER: a command that runs each spec file's Lua, such as valgrind.
local uv = require "luv"
local results_form = require "spec.support.results_form"

local SECONDS_PER_FILE <const> = tonumber(os.getenv "SPEC_SECONDS") or 900
-- a kernel may have to be fetched first
local SECONDS_OF_SMOKE <const> = 2100
local SECONDS_OF_SOAK <const> = tonumber(os.getenv "SOAK_SECONDS") or 300

local function find_specs(path, found)
  local kind = assert(uv.fs_stat(path), "no such file or directory: " .. path).type
  if kind == "file" then
    found[#found + 1] = path
    return found
  end
  local scan = assert(uv.fs_scandir(path))
  for name, entry in function() return uv.fs_scandir_next(scan) end do
    local inside = path .. "/" .. name
    if entry == "directory" then
      if name ~= "vm" then find_specs(inside, found) end -- has its own make target
    elseif name:find "_spec%.lua$" then
      found[#found + 1] = inside
    end
  end
  return found
end

---What is run, each in a process of its own: { name =, script = words for lua5.4, seconds =,
---env = }.
local function parse(arguments)
  local paths, options, beside = {}, {}, {}
  for _, argument in ipairs(arguments) do
    local list = argument:sub(1, 1) == "-" and options or paths
    if argument == "--smoke" or argument == "--soak" then
      beside[argument] = true
    else
      list[#list + 1] = argument
    end
  end
  if #paths == 0 then paths[1] = "spec" end
  local files = {}
  for _, path in ipairs(paths) do find_specs(path, files) end
  -- the kernel's first: they are the long ones, and then no core stands idle at the end
  table.sort(files, function(a, b)
    local a_kernel, b_kernel = a:find "/kernel/" ~= nil, b:find "/kernel/" ~= nil
    if a_kernel ~= b_kernel then return a_kernel end
    return a < b
  end)
  local jobs = {}
  if beside["--smoke"] then
    jobs[1] = { name = "spec/vm/smoke.lua", script = { "spec/vm/smoke.lua" },
      seconds = SECONDS_OF_SMOKE }
  end
  for _, file in ipairs(files) do
    jobs[#jobs + 1] = { name = file, seconds = SECONDS_PER_FILE,
      script = { "spec/support/one.lua", file, table.unpack(options) } }
  end
  if beside["--soak"] then
    jobs[#jobs + 1] = { name = "scripts/soak.lua", script = { "scripts/soak.lua" },
      env = { "SOAK_SECONDS=" .. SECONDS_OF_SOAK }, seconds = SECONDS_OF_SOAK + 300 }
  end
  return jobs
end

---What a child process told.
local function read_results(path)
  local results, complete = {}, false
  for line in io.lines(path) do
    local result = assert(results_form.read(line))
    if result.status == "complete" then complete = true else results[#results + 1] = result end
  end
  return results, complete
end

local totals = { passed = 0, failed = 0, skipped = 0 }
local failed = {} -- { file =, result = }, in the order in which they were told
local told_to = os.getenv "SPEC_RESULTS" and assert(io.open(os.getenv "SPEC_RESULTS", "a"))
if told_to then told_to:setvbuf "line" end -- it may be the same stream as the lines for people
local AT_ONCE <const> = tonumber(os.getenv "SPEC_JOBS") or #uv.cpu_info()

-- Where files run one after the other, each is named when it begins: then a run that is stopped
-- has told in which.
local function announce(file)
  if AT_ONCE > 1 then return end
  io.write(("%-52s "):format(file))
  io.flush()
end

local function indent(text)
  return "      " .. text:gsub("%s+$", ""):gsub("\n", "\n      ")
end

local function tell_result(result, file)
  local place = file and file .. ": " or ""
  print(("    %s: %s%s"):format(result.status, place, result.name))
  print(indent(result.message or ""))
end

local function tell(file, results, output, milliseconds)
  local counts = { passed = 0, failed = 0, skipped = 0 }
  for _, result in ipairs(results) do
    counts[result.status] = counts[result.status] + 1
    totals[result.status] = totals[result.status] + 1
    if result.status == "failed" then failed[#failed + 1] = { file = file, result = result } end
  end
  local line = ("%3d passed"):format(counts.passed)
  if AT_ONCE > 1 then line = ("%-52s "):format(file) .. line end
  for _, status in ipairs { "failed", "skipped" } do
    if counts[status] > 0 then line = ("%s, %d %s"):format(line, counts[status], status) end
  end
  print(("%s  (%.1f s)"):format(line, milliseconds / 1000))
  for _, result in ipairs(results) do
    if told_to then told_to:write(results_form.line(result)) end
    if result.status ~= "passed" then tell_result(result) end
  end
  if counts.failed > 0 and output:find "%S" then
    print "    output:"
    print(indent(output))
  end
end

local function take(path)
  local file <close> = assert(io.open(path))
  os.remove(path)
  return file:read "a"
end

local function failure(name, format, ...)
  return { status = "failed", name = name, message = format:format(...) }
end

---What the process of a spec file left on the machine, by the names that spec/support gives.
local function leftovers(pid)
  local mark, found = ("bpfd-spec-%d-"):format(pid), {}
  for _, directory in ipairs { "/run/netns", "/tmp" } do
    local scan = uv.fs_scandir(directory)
    for name in function() return scan and uv.fs_scandir_next(scan) end do
      if name:sub(1, #mark) == mark then found[#found + 1] = directory .. "/" .. name end
    end
  end
  return found
end

local function has_failed(results)
  for _, result in ipairs(results) do
    if result.status == "failed" then return true end
  end
  return false
end

local function words_of(job)
  local words = {}
  for word in (os.getenv "SPEC_UNDER" or ""):gmatch "%S+" do words[#words + 1] = word end
  words[#words + 1] = "lua5.4"
  return table.move(job.script, 1, #job.script, #words + 1, words)
end

local function run_job(job, done)
  announce(job.name)
  local results_path, output_path = os.tmpname(), os.tmpname()
  local output = assert(uv.fs_open(output_path, "w", tonumber("600", 8)))
  local environment = { "SPEC_RESULTS=" .. results_path, table.unpack(job.env or {}) }
  for name, value in pairs(uv.os_environ()) do
    environment[#environment + 1] = name .. "=" .. value
  end
  local started, timer, timed_out = uv.hrtime(), uv.new_timer(), false
  local child, pid
  local function ended(code, signal)
    timer:close()
    child:close()
    uv.kill(-pid, "sigkill") -- what the spec has started and not ended, daemons for one
    local results, complete = read_results(results_path)
    local text = take(output_path)
    os.remove(results_path)
    if timed_out then
      results[#results + 1] = failure(job.name, "not done after %d seconds", job.seconds)
    elseif not complete then
      results[#results + 1] = failure(job.name, "ended early: exit %d, signal %d", code, signal)
    elseif code ~= 0 and not has_failed(results) then
      results[#results + 1] = failure(job.name, "ended with exit %d", code)
    end
    for _, path in ipairs(leftovers(pid)) do
      results[#results + 1] = failure(job.name, "left behind: %s", path)
    end
    tell(job.name, results, text, (uv.hrtime() - started) // 1000000)
    done()
  end
  local words <const> = words_of(job)
  child, pid = uv.spawn(words[1], {
    args = { table.unpack(words, 2) }, env = environment,
    stdio = { nil, output, output }, detached = true,
  }, ended)
  assert(child, pid)
  uv.fs_close(output)
  timer:start(job.seconds * 1000, 0, function()
    timed_out = true
    uv.kill(-pid, "sigkill")
  end)
end

local jobs, next_job = parse(arg), 1

local function start_next()
  local job = jobs[next_job]
  if not job then return end
  next_job = next_job + 1
  run_job(job, start_next)
end

io.stdout:setvbuf "line"
for _ = 1, AT_ONCE do start_next() end
uv.run()
if told_to then told_to:write(results_form.line { status = "complete", name = "" }):close() end
-- again, behind hundreds of lines of what passed: the end is what people read
for _, each in ipairs(failed) do tell_result(each.result, each.file) end
local ran_none = totals.passed + totals.failed + totals.skipped == 0
if ran_none then print "no test was run" end
print(("%d passed, %d failed, %d skipped"):format(totals.passed, totals.failed, totals.skipped))
os.exit(totals.failed == 0 and not ran_none)
