-- Changes of chains taken back after they were in force, as when a later hook's swap is refused:
-- done to a real daemon's hooks while it stands still: it would put a pin back that it misses.
local daemon = require "spec.support.daemon"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

-- In a process of its own, inside the namespace: what a job has.
local PRELUDE <const> = [[
  local fs, verdict_mask = ..., 0x80000004
  local bpf = require "bpf"
  local core = require "bpf.core"
  local chain_change = require "bpfd.chain_change"
  local chain_state = require "bpfd.chain_state"
  local dirs = setmetatable({ fs = fs }, { __index = require "bpfd.directories" })
  local attach = { type = KIND, ifindex = bpf.network.index "veth0", iface = "veth0",
    direction = KIND == "tc" and "ingress" or nil }
  local hook = assert(bpf.chain.hook { type = KIND, ifindex = attach.ifindex,
    direction = attach.direction, attach = ATTACH_AS })
  local place = { name = hook.name, hook = hook, enter = function() return true end }
  local state = chain_state.read(dirs, hook.name, hook)
  local function head() return chain_state.read(dirs, hook.name, hook).live end
  local function manifest(members)
    return { engine = "fuse", type = KIND, iface = "veth0", ifindex = attach.ifindex,
      direction = attach.direction, members = members }
  end
]]

describe("a chain's change that is taken back", function()
  local pair, served

  setup(function() pair = namespace.pair "veth0" end)
  teardown(function()
    pair.far:close()
    pair.near:close()
  end)

  local function in_job(kind, attach_as, script)
    local text = ("local KIND, ATTACH_AS = %q, %s\n"):format(kind,
      attach_as and ("%q"):format(attach_as) or "nil") .. PRELUDE .. script
    served.process:signal "sigstop"
    local told = pair.near:run({ "lua5.4", "-", served.run_dir .. "/fs" }, { stdin = text })
    served.process:signal "sigcont"
    assert.equal(0, told.exit, told.stderr)
  end

  for name, kind in pairs {
    ["on XDP"] = { "xdp" }, ["on TC by a link"] = { "tc", "tcx" },
    ["on TC by a filter"] = { "tc", "clsact" },
  } do
    local type_name <const>, attach_as <const> = kind[1], kind[2]

    local function load(priority)
      return assert(rpc.load(served, { name = "count_" .. type_name,
        global = { VERDICT = type_name == "xdp" and "u32:2" or "u32:0" },
        attach = { type = type_name, iface = "veth0", priority = priority,
          direction = type_name == "tc" and "ingress" or nil } }))
    end

    describe(name, function()
      before_each(function()
        served = daemon.start { namespace = pair.near, config = attach_as
          and ('return { interfaces = { ["*"] = { tc_attach = "%s" } } }'):format(attach_as) }
      end)
      after_each(function() served:close() end)

      it("leaves the chain before in force, and nothing else", function()
        if attach_as == "tcx" and not require("bpf.core").chain.has_tcx() then
          return pending "this kernel has no TCX"
        end
        local first, second = load(10), load(20)
        local before = residue.scan(served)
        namespace.send(pair, 10)
        in_job(type_name, attach_as, [[
          local before = assert(head())
          local members = state.manifest.members
          local wanted = manifest { members[2] }
          local change = assert(chain_change.prepare(dirs, place, state, wanted, {}))
          assert(not change:attaches() and head() == before)
          assert(change:commit())
          assert(head() ~= before)
          assert(change:undo())
          assert(head() == before)
          change:discard()
        ]])
        assert.equal(before, residue.settled(served, before))
        in_job(type_name, attach_as, [[ -- the whole chain taken away, and put back
          local before = assert(head())
          local change = assert(chain_change.prepare(dirs, place, state, manifest {}, {}))
          assert(change:commit())
          assert(head() == nil)
          assert(change:undo())
          assert(head() == before)
          change:discard()
        ]])
        assert.equal(before, residue.settled(served, before))
        namespace.send(pair, 10)
        assert.same({ 20, 20 }, { rpc.hits(first), rpc.hits(second) })
        assert(rpc.call(served, "program.unload", { id = second.id }))
        rpc.unload_all(served)
      end)

      it("leaves nothing where nothing was", function()
        if attach_as == "tcx" and not require("bpf.core").chain.has_tcx() then
          return pending "this kernel has no TCX"
        end
        local tracer = assert(rpc.load(served, { name = "count_call",
          attach = { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" } }))
        local first = load(10)
        local member <const> = ("{ id = %d, priority = 10, mask = %d }"):format(first.id,
          type_name == "xdp" and 0x80000004 or 0x80000012)
        in_job(type_name, attach_as, ([[
          -- another hook of the same kind, where nothing runs
          attach.ifindex = bpf.network.index "lo"
          hook = assert(bpf.chain.hook { type = KIND, ifindex = attach.ifindex,
            direction = attach.direction, attach = ATTACH_AS,
            mode = KIND == "xdp" and "generic" or nil })
          place.name, place.hook = hook.name, hook
          state = chain_state.read(dirs, hook.name, hook)
          local change = assert(chain_change.prepare(dirs, place, state, manifest { %s }, {}))
          assert(change:attaches() and head() == nil)
          assert(change:commit())
          assert(head() == change.head)
          assert(change:undo())
          assert(head() == nil)
          change:discard()
          assert(core.system.facts(dirs:chain(hook.name)) == nil)
        ]]):format(member))
        assert(rpc.call(served, "program.unload", { id = tracer.id }))
        rpc.unload_all(served)
        pair.near:run { "tc", "qdisc", "del", "dev", "lo", "clsact" }
      end)
    end)
  end

  it("is what a refused attach does to those before it", function()
    served = daemon.start { namespace = pair.near }
    local kept = assert(rpc.load_xdp(served, "veth0", 10))
    pair.near:check { "ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1" }
    pair.near:check { "ip", "link", "set", "dev", "late0", "xdp", "object", rpc.other_object,
      "program", "other_shape" }
    local before = residue.scan(served)
    local text = ""
    for at, attach in ipairs {
      'type = "tc", iface = "late1", direction = "ingress"', 'type = "xdp", iface = "late1"',
      'type = "xdp", iface = "late0"', 'type = "xdp", iface = "veth0"',
    } do
      text = text .. ('program "p%d" { path = "%s", name = "count_%s", attach = { %s, \z
        priority = 1 } }\n'):format(at, rpc.object, attach:match '"(%a+)"', attach)
    end
    local result = process.run(pair.near:inside { os.getenv "BUILD" .. "/bpfctl", "--socket",
      served.socket, "apply", "-", "--as", "x" }, { stdin = text })
    assert.equal(1, result.exit)
    assert.matches('^bpfctl: .*late0 runs program %d+, which is not ours', result.stderr)
    assert.equal(before, residue.settled(served, before))
    assert.same({ kept.id }, rpc.chain(served, { type = "xdp" }))
    rpc.unload_all(served)
    served:close()
    pair.near:check { "ip", "link", "del", "late0" }
  end)
end)
