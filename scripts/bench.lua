-- `make bench`: what a chain, bpfctl and the daemon cost, as ratios taken side by side in one run.
local uv = require "luv"
local bpf = require "bpf"
local namespace = require "spec.support.namespace"
local daemon = require "spec.support.daemon"
local bpfctl = require "spec.support.bpfctl"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"
local figures = require "scripts.figures"
local bench_images = require "scripts.bench_images"
local bench_clients = require "scripts.bench_clients"
local bench_maps = require "scripts.bench_maps"

local PREFIX <const> = "bpfd-bench"
local BUILD <const> = os.getenv "BUILD"
local RETURN_ONLY <const> = BUILD .. "/objects/return_only.o"
local PACKET <const> = ("\0"):rep(64)

local table_of_figures = figures.new()
local function report(...) table_of_figures:add(...) end

local function progress(text)
  io.stderr:write("bench: " .. text .. "\n")
end

-- Chains: BPF_PROG_TEST_RUN, all lengths in turn, the fastest of many rounds each.

local LENGTHS <const> = { 1, 10, 30, 60 }
local ROUNDS <const>, REPEAT <const> = 15, 500000

local function nanoseconds(program)
  return (assert(program:test_run { data = PACKET, ["repeat"] = REPEAT })).duration
end

local function bench_chains()
  progress "chains"
  local object <close> = assert(bpf.object.open(RETURN_ONLY))
  local engine = bpf.chain.engine "fuse"
  local hook = { type = "xdp" } -- all that building asks of a hook; nothing is attached
  assert(engine.prepare(object, "return_only", hook))
  assert(object:load())
  local alone = object.programs.return_only
  local record = assert(engine.record(object, "return_only", "{}"))
  local builds, best = {}, { alone = math.huge }
  for _, length in ipairs(LENGTHS) do
    local members = {}
    for i = 1, length do
      members[i] = { id = i, name = "return_only", mask = 1 << 2, program = alone, record = record,
        maps = {} }
    end
    builds[length], best[length] = assert(engine.build(hook, members, {})), math.huge
  end
  for _ = 1, ROUNDS do
    best.alone = math.min(best.alone, nanoseconds(alone))
    for _, length in ipairs(LENGTHS) do
      best[length] = math.min(best[length], nanoseconds(builds[length].program))
    end
  end
  for _, length in ipairs(LENGTHS) do
    local each = (best[length] - best.alone) / length
    report(("fused chain of %d, per member over one program alone"):format(length),
      ("%.2f ns"):format(each), ("%d ns for %d ns"):format(best[length], best.alone),
      length > 1 and "at most 0.5 ns" or nil, length > 1 and each <= 0.5 or nil)
    builds[length]:close()
  end
end

-- Wall time: the two tools take turns; the median of each.

local function ratio(...) table_of_figures:add_ratio(...) end

local function bench_load(bpfd, near)
  progress "load"
  local mount = bpfd.directory .. "/bpffs"
  assert(uv.fs_mkdir(mount, 448))
  process.check { "mount", "-t", "bpf", "bpf", mount }
  local ours, theirs = {}, {}
  local pin = mount .. "/return_only"
  for i = 1, 31 do
    local started = uv.hrtime()
    local result = bpfctl.run(bpfd, { "-q", "load-from-file", "-p", RETURN_ONLY,
      "-n", "return_only", "xdp", "-i", "veth0", "-p", "50" })
    ours[i] = (uv.hrtime() - started) / 1e9
    assert(result.exit == 0, result.stderr)
    bpfd:check("unload", result.stdout:match "%d+")
    started = uv.hrtime()
    near:check { "bpftool", "prog", "load", RETURN_ONLY, pin, "type", "xdp" }
    near:check { "bpftool", "net", "attach", "xdp", "pinned", pin, "dev", "veth0" }
    theirs[i] = (uv.hrtime() - started) / 1e9
    near:check { "bpftool", "net", "detach", "xdp", "dev", "veth0" }
    assert(os.remove(pin))
  end
  process.check { "umount", mount }
  ratio("bpfctl load-from-file ... xdp, for bpftool prog load and net attach", ours, theirs, 1.5)
end

local function bench_list(bpfd, near)
  progress "list"
  local ours, theirs = {}, {}
  for i = 1, 51 do
    local result = bpfctl.run(bpfd, { "list" })
    ours[i] = result.seconds
    local _, lines = result.stdout:gsub("\n", "")
    assert(lines == 101, "not 100 programs")
    result = near:run { "bpftool", "prog", "list" }
    assert(result.exit == 0)
    theirs[i] = result.seconds
  end
  ratio("bpfctl list with 100 programs, for bpftool prog list", ours, theirs, 3)
end

-- Memory: what the kernel calls resident. The heap is made small some seconds after the last
-- request.
local QUIET <const> = 5000 -- milliseconds

local function resident(bpfd)
  uv.sleep(QUIET)
  local file <close> = assert(io.open(("/proc/%d/status"):format(bpfd.pid)))
  return tonumber(file:read("a"):match "VmRSS:%s+(%d+) kB")
end

local loaded = 0
local function load_up_to(bpfd, count)
  progress(("loading up to %d programs"):format(count))
  while loaded < count do
    loaded = loaded + 1
    bpfd:load("-p", RETURN_ONLY, "-n", "return_only", "xdp", "-i", "dummy" .. (loaded % 50),
      "-p", tostring(loaded))
  end
end

-- Policies: two daemons take turns, one with ten hooks that look at what is loaded.

local HOOKS <const>, LOADS <const> = 10, 61
local HOOK <const> = [[
hooks.add { name = "bench/%d", on = "program.load", run = function(event)
  if event.attach.iface == "eth0" and not event.peer.groups.netops then
    return hooks.deny "eth0 belongs to group netops"
  end
  for _, program in pairs(event.object.programs) do
    for _, helper in ipairs(program.helpers) do
      if helper == "bpf_probe_write_user" then return hooks.deny "it writes into processes" end
    end
  end
end }]]

local function timed_load(bpfd, iface)
  local started = uv.hrtime()
  local program = assert(rpc.load(bpfd, { name = "return_only",
    attach = { type = "xdp", iface = iface, priority = 50 } }, RETURN_ONLY))
  local seconds = (uv.hrtime() - started) / 1e9
  assert(rpc.call(bpfd, "program.unload", { id = program.id }))
  return seconds
end

-- What one call of a hook takes, by the process that makes it.
local function report_hook(ruled)
  local times, loads = {}, {}
  for _, event in ipairs(rpc.call(ruled, "policy.events").events) do
    if event.on == "program.load" then table.insert(loads, event) end
  end
  for _, outcome in ipairs(rpc.call(ruled, "policy.test", { events = loads }).outcomes) do
    for _, decision in ipairs(outcome.decisions) do
      table.insert(times, decision.microseconds)
    end
  end
  report("one call of a policy hook", ("%.1f us"):format(figures.median(times)),
    ("%d calls"):format(#times))
  local size = rpc.call(ruled, "policy.list").process.private
  report(("process of %d policies"):format(HOOKS), ("%.1f MiB"):format(size / 1048576),
    "pages of its own")
end

local function bench_policies(bpfd, near)
  progress "policies"
  local policies = {}
  for i = 1, HOOKS do policies[("%02d.lua"):format(i)] = HOOK:format(i) end
  near:check { "ip", "link", "add", "ruled", "type", "veth", "peer", "name", "ruled-peer" }
  local ruled <close> = daemon.start { namespace = near, prefix = PREFIX, log_level = "info",
    policies = policies }
  local with, without = {}, {}
  for i = 0, LOADS do
    local first, second = timed_load(bpfd, "veth0"), timed_load(ruled, "ruled")
    if i > 0 then without[i], with[i] = first, second end
  end
  ratio(("a load with %d policy hooks, for one with none"):format(HOOKS), with, without, 1.05)
  report_hook(ruled)
end

local function bench_daemon(bpfd, near)
  local idle = resident(bpfd)
  report("daemon, idle", ("%.1f MiB"):format(idle / 1024), "", "at most 10 MiB", idle <= 10240)
  bench_load(bpfd, near)
  bench_policies(bpfd, near)
  progress "64 clients"
  bench_clients.list(table_of_figures, bpfd, { "veth0" }, 20)
  for i = 0, 49 do
    near:check { "ip", "link", "add", "dummy" .. i, "type", "veth", "peer", "name", "peer" .. i }
  end
  for _, count in ipairs { 100, 1000 } do
    load_up_to(bpfd, count)
    if count == 100 then bench_list(bpfd, near) end
    local now = resident(bpfd)
    local aim = 10240 + 4 * count
    report(("daemon with %d programs"):format(count), ("%.1f MiB"):format(now / 1024),
      ("%.2f KiB a program more than idle"):format((now - idle) / count),
      ("at most 10 MiB and %d times 4 KiB"):format(count), now <= aim)
  end
  progress "start"
  bench_clients.adoption(table_of_figures, bpfd, loaded)
end

local near, far, bpfd
local ok, failure = xpcall(function()
  bench_chains()
  near, far = namespace.new(PREFIX), namespace.new(PREFIX)
  namespace.join(near, far, "veth0")
  bpfd = daemon.start { namespace = near, prefix = PREFIX, log_level = "info" }
  bench_daemon(bpfd, near)
  progress "maps"
  bench_maps(table_of_figures, bpfd, BUILD)
  progress "images"
  bench_images(table_of_figures, { near = near, prefix = PREFIX, object = RETURN_ONLY })
end, debug.traceback)
if bpfd then bpfd:close() end
if near then near:close() end
if far then far:close() end
if not ok then
  io.stderr:write("bench: " .. failure .. "\n")
  os.exit(1)
end
table_of_figures:print()
local libbpf = process.run { "pkg-config", "--modversion", "libbpf" }
print(("\n%s, libbpf %s. To repeat: make bench"):format(figures.machine(),
  libbpf.stdout:match "%S+"))
