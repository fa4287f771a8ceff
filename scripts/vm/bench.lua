-- `make bench-vm`, inside the test VM under -icount: instructions for each packet in chains of
-- members that only return, and loads onto one interface, beside xdp-loader's.
-- A virtual nanosecond is an instruction there, whatever else the machine does.
local uv = require "luv"
local bpf = require "bpf"
local bpfctl = require "spec.support.bpfctl"
local daemon = require "spec.support.daemon"
local figures = require "scripts.figures"
local namespace = require "spec.support.namespace"
local network_job = require "spec.support.network_job"
local process = require "spec.support.process"
local support = require "spec.support.chain"

local PREFIX <const> = "bpfd-bench"
local LENGTHS <const> = { 1, 5, 10 }
local LOADS <const>, ROUNDS <const> = 10, 5
local REPEAT <const> = 400000 -- the clock ticks every few milliseconds on kernels before 7
local FILE <const> = { xdp = "return_only", tc = "return_only_tc" }
-- the defaults: pass; ok and pipe; and dispatcher_return
local MASK <const> = { xdp = 1 << 31 | 1 << 2, tc = 1 << 31 | 1 << 1 | 1 << 4 }

local results = figures.new()

local function progress(text) io.stderr:write("bench: " .. text .. "\n") end

local function instructions(program)
  local _, duration = support.run(program, REPEAT)
  return duration
end

---Instructions for a packet, by length of the chain.
local function measure_engine(engine, kind)
  progress(engine .. " " .. kind)
  local member <close> = support.member(kind, FILE[kind], "return_only", nil, nil, engine)
  local cost = {}
  for _, length in ipairs(LENGTHS) do
    local places = {}
    for place = 1, length do places[place] = member:with(MASK[kind]) end
    local build <close> = assert(bpf.chain.engine(engine).build({ type = kind }, places))
    cost[length] = instructions(build.program)
  end
  return cost
end

local function each_member(cost)
  local shortest <const>, longest <const> = LENGTHS[1], LENGTHS[#LENGTHS]
  return (cost[longest] - cost[shortest]) / (longest - shortest)
end

local function report_chains(name, kind, cost, against, most)
  local each <const>, whole = each_member(cost), {}
  for i, length in ipairs(LENGTHS) do whole[i] = ("%d for %d"):format(cost[length], length) end
  local taken_from = table.concat(whole, ", ")
  if against then
    local part <const> = each / each_member(against)
    results:add(("%s, %s: instructions for a member"):format(name, kind),
      ("%.1f, %.2f times %s's"):format(each, part, against.name), taken_from,
      ("at most %s times"):format(most), part <= most)
  else
    results:add(("%s, %s: instructions for a member"):format(name, kind), ("%.1f"):format(each),
      taken_from)
  end
end

local LOAD_OURS <const> = { "-q", "load-from-file", "-p", support.path "return_only", "-n",
  "return_only", "xdp", "-i", "ours", "-p", "50" }
local LOAD_THEIRS <const> = { "xdp-loader", "load", "theirs", support.path "return_only" }

local function seconds(run, ...)
  local result = run(...)
  assert(result.exit == 0, result.stderr)
  return result.seconds, result.stdout
end

---What the dispatcher of xdp-loader's costs now.
local function measure_theirs(near)
  return network_job.run(near, function()
    local running = assert(bpf.network.xdp(assert(bpf.network.index "theirs")))
    local program <close> = assert(bpf.program.open_id(running.prog_id))
    return instructions(program)
  end)
end

-- Virtual time flies while the VM waits for the host, for a file over 9p say. So the least of all
-- rounds counts, for each place in the chain.
local function keep_least(list, place, took) list[place] = math.min(list[place] or took, took) end

---Ten loads of each, taking turns; theirs is measured on the way.
local function load_ten(bpfd, near, ours, theirs, cost)
  local ids = {}
  for i = 1, LOADS do
    local took, id = seconds(bpfctl.run, bpfd, LOAD_OURS)
    ids[i] = id:match "%d+"
    keep_least(ours, i, took)
    keep_least(theirs, i, (seconds(near.run, near, LOAD_THEIRS)))
    if cost and (i == 1 or i == 5 or i == 10) then cost[i] = measure_theirs(near) end
  end
  bpfd:check("unload", table.unpack(ids))
  near:check { "xdp-loader", "unload", "theirs", "--all" }
end

local function sum(list)
  local total = 0
  for _, value in ipairs(list) do total = total + value end
  return total
end

local function bench_loads()
  local near <close> = namespace.new(PREFIX)
  local far <close> = namespace.new(PREFIX)
  namespace.join(near, far, "ours", 1)
  namespace.join(near, far, "theirs", 2)
  local bpfd <close> = daemon.start { namespace = near, prefix = PREFIX, log_level = "info" }
  local ours, theirs, cost = {}, {}, { name = "xdp-loader" }
  for round = 1, ROUNDS do
    progress(("ten loads, round %d of %d"):format(round, ROUNDS))
    load_ten(bpfd, near, ours, theirs, round == 1 and cost)
  end
  return { sum(ours) }, { sum(theirs) }, cost
end

local ours, theirs, loader = bench_loads()
local freplace_tc = measure_engine("freplace", "tc")
freplace_tc.name = "freplace"
report_chains("xdp-loader", "xdp", loader)
report_chains("fuse", "xdp", measure_engine("fuse", "xdp"), loader, 0.1)
report_chains("freplace", "xdp", measure_engine("freplace", "xdp"), loader, 1.0)
report_chains("freplace", "tc", freplace_tc)
report_chains("fuse", "tc", measure_engine("fuse", "tc"), freplace_tc, 0.1)
results:add_ratio("ten bpfctl loads onto one interface, for ten of xdp-loader's", ours, theirs, 1.0)
results:print()
print(("\n%s, emulated, 1 ns an instruction; xdp-tools %s. To repeat: make bench-vm"):format(
  uv.os_uname().release, process.check { "dpkg-query", "-W", "-f=${Version}", "xdp-tools" }))
