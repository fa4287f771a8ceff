-- What is left when the n-th system call of an operation fails, or ends the job or the daemon: for
-- every n (BPFD_FAULTS=all, `make test-faults`), or for some of them.
local uv = require "luv"
local bpf = require "bpf"
local core = require "bpf.core"
local daemon = require "spec.support.daemon"
local fault = require "spec.support.fault"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rounds = require "spec.support.rounds"
local rpc = require "spec.support.rpc"

local WALKS_ALL <const> = os.getenv "BPFD_FAULTS" == "all"
local SAMPLE <const> = rounds(3) -- points of each operation and mode
local SILENCE <const> = 20 -- seconds that an answer may take where a fault ate it
local MODES <const> = { "fail", "kill_caller", "kill_daemon" }

local xdp <const> = { type = "xdp", iface = "veth0", priority = 40 }
local tc <const> = { type = "tc", iface = "veth0", priority = 40, direction = "ingress" }
local tcx <const> = { type = "tcx", iface = "veth0", priority = 40, direction = "egress" }
local tracepoint <const> = { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" }
local raw <const> = { type = "raw_tracepoint", tracepoint = "sys_enter" }

-- With `after`, it is the unload that is walked; with `beside`, another program is on the hook.
local operations <const> = {
  { "load of xdp", attach = xdp, name = "count_xdp" },
  { "load of xdp beside another", attach = xdp, name = "count_xdp", beside = true },
  { "unload of xdp", attach = xdp, name = "count_xdp", unload = true },
  { "unload of xdp beside another", attach = xdp, name = "count_xdp", beside = true,
    unload = true },
  { "load of tc", attach = tc, name = "count_tc" },
  { "load of tc beside another", attach = tc, name = "count_tc", beside = true },
  { "unload of tc", attach = tc, name = "count_tc", unload = true },
  { "load of tcx", attach = tcx, name = "count_tc" },
  { "unload of tcx", attach = tcx, name = "count_tc", unload = true },
  { "load of a tracepoint", attach = tracepoint, name = "count_call" },
  { "unload of a tracepoint", attach = tracepoint, name = "count_call", unload = true },
  { "load of a raw tracepoint", attach = raw, name = "count_call" },
}

local function sorted(ids)
  table.sort(ids)
  return ids
end

describe("when a call fails or is the last", function()
  local pair, served, faults, walked

  setup(function()
    pair = namespace.pair "veth0"
    local page = ("/tmp/bpfd-spec-%d-fault"):format(uv.os_getpid())
    faults = fault.new(page)
    served = daemon.start { namespace = pair.near, env = faults:environment(), log_level = "info" }
    walked = 0
  end)

  teardown(function()
    served:close()
    os.remove(faults.path)
    pair.far:close()
    pair.near:close()
    io.stdout:write(("fault points walked: %d\n"):format(walked))
  end)

  local function listed()
    local ids = {}
    for i, program in ipairs(assert(rpc.call(served, "program.list")).programs) do
      ids[i] = program.id
    end
    return sorted(ids)
  end

  -- Ids of what is pinned, each of which must open and be what its name says.
  local function pinned()
    local ids = {}
    local scan = assert(uv.fs_scandir(served.run_dir .. "/fs/programs"))
    for name in function() return uv.fs_scandir_next(scan) end do
      local program <close> = assert(bpf.program.open_pin(
        ("%s/fs/programs/%s/program"):format(served.run_dir, name)))
      assert.equal(tonumber(name), program:info().id)
      ids[#ids + 1] = program:info().id
    end
    return sorted(ids)
  end

  -- Every listed member of a chain is in one, and the chain is what its hook runs.
  local function check_chains(ids)
    local in_chains, present = {}, {}
    for _, id in ipairs(ids) do present[id] = true end
    for _, chain in ipairs(assert(rpc.call(served, "chain.list")).chains) do
      for _, member in ipairs(chain.members) do
        assert.is_true(present[member.id], "a member is not listed: " .. member.id)
        in_chains[member.id] = true
      end
    end
    for _, id in ipairs(ids) do
      local kind = assert(rpc.call(served, "program.get", { id = id })).attach.type
      if kind == "xdp" or kind == "tc" then
        assert.is_true(in_chains[id], "a listed program is in no chain: " .. id)
      end
    end
  end

  local function is_settled()
    local file <close> = io.open(("/proc/%d/task/%d/children"):format(served.pid, served.pid))
    return not file or file:read "a" == ""
  end

  local function load(operation, priority)
    local attach = {}
    for key, value in pairs(operation.attach) do attach[key] = value end
    attach.priority = attach.priority and (priority or attach.priority)
    local file <close> = assert(core.system.open(rpc.object))
    return rpc.call(served, "program.load", { fd = 0, name = operation.name, attach = attach },
      { descriptors = { file }, timeout = SILENCE })
  end

  -- Another daemon finds what there is.
  local function come_back()
    served:kill()
    served:restart()
    process.eventually(is_settled)
  end

  -- Once what a daemon finds at its start has been worked off, with the last word of an assertion.
  local function check()
    local good, failure
    process.eventually(function()
      good, failure = pcall(function()
        local ids = listed()
        assert.same(pinned(), ids)
        check_chains(ids)
      end)
      return good
    end, 3000)
    assert.is_true(good, tostring(failure))
  end

  -- One point: what was before, the operation with the fault, what is then.
  local function try(operation, mode, at)
    local id = operation.unload and assert(load(operation)).id
    local old = listed()
    faults:arm(mode, at, served.pid)
    pcall(function()
      if id then
        return rpc.call(served, "program.unload", { id = id }, { timeout = SILENCE })
      end
      return load(operation)
    end)
    local outcome = faults:disarm()
    come_back()
    check()
    local now = listed()
    local difference = #now - #old
    if id then
      assert.is_true(difference == 0 or difference == -1)
    else
      assert.is_true(difference == 0 or difference == 1)
    end
    local was = {}
    for _, one in ipairs(old) do was[one] = true end
    for _, one in ipairs(now) do
      if not was[one] or one == id then assert(rpc.call(served, "program.unload", { id = one })) end
    end
    return outcome
  end

  -- The points to try: all, or some at even distances.
  local function points(count)
    local step = WALKS_ALL and 1 or math.max(1, count // SAMPLE)
    local first = WALKS_ALL and 1 or step // 2 + 1
    local at = first - step
    return function()
      at = at + step
      return at <= count and at or nil
    end
  end

  for _, operation in ipairs(operations) do
    for _, mode in ipairs(MODES) do
      it(("of a %s (%s), nothing is lost and nothing left"):format(operation[1], mode), function()
        local good_type, missing = bpf.features.type(operation.attach.type)
        if not good_type then return pending(missing.message) end
        local beside = operation.beside and assert(load(operation, 60)).id
        local before = rpc.masked(residue.scan(served))
        local count = try(operation, "count").calls
        assert.is_true(count > 20, "too few calls: " .. count)
        for at in points(count) do
          local good, failure = pcall(try, operation, mode, at)
          if good then
            local after = rpc.settled(served, before)
            good, failure = before == after, "residue:\n" .. after .. "\nbefore:\n" .. before
          end
          if not good then
            error(("at call %d of %d: %s\n%s"):format(at, count, tostring(failure),
              served:log_text():sub(-3000)))
          end
          walked = walked + 1
        end
        if beside then assert(rpc.call(served, "program.unload", { id = beside })) end
      end)
    end
  end
end)
