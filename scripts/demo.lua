-- `make demo`: a private bpfd, four programs on one hook, real packets, counters read in Lua, and
-- a member that comes and goes while traffic flows. Leaves nothing behind.
local uv = require "luv"
local bpf = require "bpf"
local namespace = require "spec.support.namespace"
local daemon = require "spec.support.daemon"
local bpfctl = require "spec.support.bpfctl"
local process = require "spec.support.process"

local PREFIX <const> = "bpfd-demo"
local DROPPED_PORT <const> = 7009
local XDP_PASS <const> = 2
local examples = assert(uv.fs_realpath(bpfctl.examples)) .. "/"

local bold, plain = "", ""
if uv.guess_handle(1) == "tty" then bold, plain = "\27[1m", "\27[0m" end

local step = 0
local function chapter(title)
  step = step + 1
  print(("\n%s%d. %s%s\n"):format(bold, step, title, plain))
end

local function show(text)
  io.write((text:gsub("([^\n]*)\n", "    %1\n")))
end

---Checks a statement of the demo; the first that is untrue ends it with a failure.
local function claim(holds, format, ...)
  local statement = format:format(...)
  print((holds and "  ok: " or "  WRONG: ") .. statement)
  if not holds then error(statement, 0) end
end

---A counter that packets in flight may still be raising.
local function settles(read, expected)
  process.eventually(function() return read() == expected end, 3000)
  return read()
end

local function run(bpfd, line)
  print("    $ bpfctl " .. line:gsub("/%S*/examples/", "examples/"))
  local printed = bpfd:check(table.unpack(bpfctl.words(line)))
  show(printed)
  return printed
end

---Packets that an xdp_stats member has counted: a {rx_packets, rx_bytes} for each CPU.
local function packets(bpfd, id)
  local pin = ("%s/fs/maps/%s/xdp_stats_map"):format(bpfd.run_dir, id)
  local map <close> = assert(bpf.map.open_pin(pin))
  local total = 0
  for _, on_cpu in ipairs(assert(map:typed():get(XDP_PASS))) do
    total = total + on_cpu.rx_packets
  end
  return total
end

local function demonstrate(bpfd, pair)
  chapter "Four programs on one XDP hook of veth0, each with its own priority"
  local counter = "load-from-file --path " .. examples
    .. "go-xdp-counter/bpf_bpfel.o -n xdp_stats "
  local pass_kern = "load-from-file --path " .. examples .. "xdp_pass_kern.o "
  local first = run(bpfd, "-q " .. counter .. "xdp --iface veth0 --priority 10"):match "%d+"
  run(bpfd, ("-q %s-n xdp -g DROP_PORT=u16:%d xdp --iface veth0 --priority 20"):format(pass_kern,
    DROPPED_PORT))
  run(bpfd, "-q " .. pass_kern .. "--name pass -m owner=acme xdp --iface veth0 --priority 30")
  local last = run(bpfd, "-q " .. counter .. "xdp --iface veth0 --priority 40"):match "%d+"
  run(bpfd, "list")
  run(bpfd, "get " .. last)
  claim(bpfctl.rows(bpfd:check("get", last)).Position == "3", "the last one stands at position 3")

  chapter(("Real packets: 1000 to port 7007, and 500 to port %d, which the second program drops")
    :format(DROPPED_PORT))
  namespace.send(pair, 1000)
  namespace.send(pair, 500, DROPPED_PORT)
  print '    > bpf.map.open_pin(".../xdp_stats_map"):typed():get(XDP_PASS) over all CPUs'
  claim(settles(function() return packets(bpfd, first) end, 1500) == 1500,
    "the first program has counted %d packets", packets(bpfd, first))
  claim(settles(function() return packets(bpfd, last) end, 1000) == 1000,
    "the last program has counted %d packets", packets(bpfd, last))
  claim(settles(function() return pair.near:received() end, 1000) == 1000,
    "the network stack has received %d packets", pair.near:received())

  chapter "A fifth program comes and goes, five times, while traffic flows"
  local before_first, before_last = packets(bpfd, first), packets(bpfd, last)
  local before_stack = pair.near:received()
  local stop = namespace.traffic(pair)
  for round = 1, 5 do
    local line = "-q " .. pass_kern .. "--name pass xdp --iface veth0 --priority 35"
    local id
    if round == 1 then
      id = run(bpfd, line):match "%d+"
      run(bpfd, "unload " .. id)
    else
      id = bpfd:check(table.unpack(bpfctl.words(line))):match "%d+"
      bpfd:check("unload", id)
    end
  end
  local sent = stop()
  local function arrived(read, before)
    return settles(function() return read() - before end, sent)
  end
  claim(sent > 1000, "%d packets were sent in that time", sent)
  claim(arrived(function() return packets(bpfd, first) end, before_first) == sent,
    "the first program has seen every one of them")
  claim(arrived(function() return packets(bpfd, last) end, before_last) == sent,
    "so has the last: no packet met half a chain or none")
  claim(arrived(function() return pair.near:received() end, before_stack) == sent,
    "and the network stack has received them all")

  chapter "The daemon dies by SIGKILL; the chain runs on, and the next daemon takes it over"
  local listed = bpfd:check "list"
  bpfd:kill()
  local before = packets(bpfd, last)
  namespace.send(pair, 100)
  claim(settles(function() return packets(bpfd, last) - before end, 100) == 100,
    "100 packets without a daemon, 100 counted")
  bpfd:restart()
  run(bpfd, "list")
  claim(bpfd:check "list" == listed, "the new daemon lists the same programs")

  chapter "Unloaded"
  for id in listed:gmatch "\n (%d+)" do run(bpfd, "unload " .. id) end
  local link = pair.near:check { "ip", "link", "show", "veth0" }
  claim(not link:find "xdp", "no program is left on veth0")
end

local pair, bpfd
local ok, failure = xpcall(function()
  chapter "A bpfd of its own, in directories and a network namespace of its own"
  pair = namespace.pair("veth0", PREFIX)
  bpfd = daemon.start { namespace = pair.near, prefix = PREFIX }
  print(("    bpfd %d runs in %s"):format(bpfd.pid, bpfd.directory))
  print(("    network namespace %s, veth0 to %s"):format(pair.near.name, pair.far.name))
  demonstrate(bpfd, pair)
end, function(message)
  return type(message) == "string" and message:find "^[^:]+$" and message
    or debug.traceback(tostring(message))
end)

if not ok and bpfd then
  print "\nthe daemon's log:"
  show(bpfd:log_text())
end
if bpfd then bpfd:close() end
for _, side in ipairs { "near", "far" } do
  if pair then pair[side]:close() end
end
if ok then
  ok, failure = pcall(function()
    print ""
    claim(not uv.fs_stat(bpfd.directory), "its directories are gone")
    claim(not uv.fs_stat(pair.near.path), "its network namespaces are gone")
    local mounts <close> = assert(io.open "/proc/self/mounts")
    claim(not mounts:read("a"):find(bpfd.directory, 1, true), "its bpffs is gone")
  end)
end
print(ok and "\nAll as promised." or "\nFailed: " .. failure)
os.exit(ok)
