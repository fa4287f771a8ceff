local bpf = require "bpf"
local bpf_calls = require "spec.support.bpf_calls"
local daemon = require "spec.support.daemon"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local residue = require "spec.support.residue"
local rounds = require "spec.support.rounds"
local rpc = require "spec.support.rpc"

local MANY <const> = rounds(64)
local MAPS_OF_A_PROGRAM <const> = 62 -- beside the two of the chain itself

describe("the daemon's chains", function()
  local served <const>, pair <const> = host.for_all()
  host.leaves_nothing(served)

  it("run by priority, lower first, and among equals the newer first", function()
    local a = assert(rpc.load_xdp(served, "veth0", 50)).id
    local b = assert(rpc.load_xdp(served, "veth0", 10)).id
    local c = assert(rpc.load_xdp(served, "veth0", 50)).id
    local d = assert(rpc.load_xdp(served, "veth0", 90)).id
    assert.same({ b, c, a, d }, rpc.chain(served, { type = "xdp", iface = "veth0" }))
    for position, id in ipairs { b, c, a, d } do
      local program = assert(rpc.call(served, "program.get", { id = id }))
      assert.equal(position - 1, program.attach.position)
    end
    assert(rpc.call(served, "program.unload", { id = c }))
    assert.same({ b, a, d }, rpc.chain(served, { type = "xdp", iface = "veth0" }))
    assert.equal(1, rpc.call(served, "program.get", { id = a }).attach.position)
  end)

  it("let every member see a packet, until one does not let it proceed", function()
    local first = assert(rpc.load_xdp(served, "veth0", 1))
    local second = assert(rpc.load_xdp(served, "veth0", 2, { global = { VERDICT = "u32:1" } }))
    local third = assert(rpc.load_xdp(served, "veth0", 3))
    namespace.send(pair, 100)
    assert.same({ 100, 100, 0 }, { rpc.hits(first), rpc.hits(second), rpc.hits(third) })
    assert(rpc.call(served, "program.unload", { id = second.id }))
    namespace.send(pair, 50)
    assert.same({ 150, 50 }, { rpc.hits(first), rpc.hits(third) })
  end)

  for _, attach_as in ipairs { "tcx", "clsact" } do
    it("run on TC by " .. attach_as .. ", both directions apart", function()
      if attach_as == "tcx" and not require("bpf.core").chain.has_tcx() then
        return pending "this kernel has no TCX"
      end
      local own <close> = daemon.start { namespace = pair.near,
        config = ('return { interfaces = { ["*"] = { tc_attach = "%s" } } }'):format(attach_as) }
      local here = residue.scan(own)
      local function load_tc(direction, priority)
        return assert(rpc.load(own, { name = "count_tc", global = { VERDICT = "u32:0" },
          attach = { type = "tc", iface = "veth0", direction = direction, priority = priority } }))
      end
      local late, early = load_tc("ingress", 20), load_tc("ingress", 10)
      local out = load_tc("egress", 10)
      assert.equal("ingress", early.attach.direction)
      assert.same({ early.id, late.id },
        rpc.chain(own, { type = "tc", iface = "veth0", direction = "ingress" }))
      namespace.send(pair, 100)
      assert.same({ 100, 100 }, { rpc.hits(early), rpc.hits(late) })
      assert.is_true(rpc.hits(out) < 100)
      rpc.unload_all(own)
      assert.equal(here, residue.settled(own, here))
    end)
  end

  it("run in another network namespace, by name and by descriptor", function()
    local other <close> = namespace.new()
    local there <close> = namespace.new()
    namespace.join(other, there, "veth7", 7)
    local attach = { type = "xdp", iface = "veth7", priority = 1, netns = other.name }
    local by_name = assert(rpc.load(served, { name = "count_xdp", attach = attach }))
    assert.equal(other.path, by_name.attach.netns)
    local descriptor <close> = assert(require("bpf.core").system.open(other.path))
    local object <close> = assert(require("bpf.core").system.open(rpc.object))
    attach.netns, attach.netns_fd, attach.priority = nil, 1, 2
    local by_descriptor = assert(rpc.call(served, "program.load",
      { fd = 0, name = "count_xdp", attach = attach }, { descriptors = { object, descriptor } }))
    assert.same({ by_name.id, by_descriptor.id },
      rpc.chain(served, { type = "xdp", iface = "veth7" }))
    assert.equal(0, by_name.attach.position)
    rpc.unload_all(served)
  end)

  it("take a replacement into the old one's place, by one swap", function()
    local a = assert(rpc.load_xdp(served, "veth0", 50, { metadata = { owner = "acme" } }))
    local b = assert(rpc.load_xdp(served, "veth0", 50))
    local calls <close> = bpf_calls.of_children(served.pid)
    local function replace(id, params)
      local file <close> = assert(require("bpf.core").system.open(rpc.object))
      local sent = { fd = 0, id = id }
      for key, value in pairs(params or {}) do sent[key] = value end
      return rpc.call(served, "program.replace", sent, { descriptors = { file } })
    end
    namespace.send(pair, 10)
    local c = assert(replace(a.id, { global = { VERDICT = "u32:1" }, map_owner_id = a.id }))
    assert.same({ b.id, c.id }, rpc.chain(served, { type = "xdp" }))
    assert.same({ 0, 1 }, { calls:count "link_create", calls:count "link_update" })
    assert.same({ owner = "acme" }, c.metadata)
    namespace.send(pair, 10)
    assert.equal(20, rpc.hits(c)) -- with the maps of the one that has gone
    local d = assert(replace(b.id, { attach = { priority = 60 } }))
    assert.same({ c.id, d.id }, rpc.chain(served, { type = "xdp" }))
    local e = assert(replace(d.id, { name = "count_tc",
      attach = { type = "tc", iface = "veth0", direction = "ingress", priority = 1 } }))
    assert.same({ c.id }, rpc.chain(served, { type = "xdp" }))
    assert.same({ e.id }, rpc.chain(served, { type = "tc" }))
    local here = residue.scan(served)
    local refused, err = replace(c.id, { name = "out_of_bounds" })
    assert.is_nil(refused)
    assert.matches("loading out_of_bounds", tostring(err))
    refused, err = replace(d.id)
    assert.is_nil(refused)
    assert.equal("ENOENT", err.code)
    assert.equal(here, residue.settled(served, here))
  end)

  it("say the engine, the mode and the direction of a member", function()
    local program = assert(rpc.load_xdp(served, "veth0", 1))
    assert.equal("fuse", program.attach.engine)
    assert.equal("native", program.attach.xdp_mode)
    assert.equal(1, #rpc.call(served, "chain.list").chains)
  end)

  it("obey the configured mode and refuse an engine that this kernel has not", function()
    local own <close> = daemon.start { namespace = pair.near, config = [[return { interfaces = {
      ["*"] = { xdp_mode = "generic" }, veth0 = { engine = "freplace" } } }]] }
    local here = residue.scan(own)
    local program, err = rpc.load_xdp(own, "veth0", 1)
    if program then -- a kernel that has it
      assert.equal("freplace", program.attach.engine)
      rpc.unload_all(own)
    else
      assert.matches("freplace", tostring(err))
    end
    assert.equal(here, residue.settled(own, here))
    local generic <close> = daemon.start { namespace = pair.near,
      config = 'return { interfaces = { ["*"] = { xdp_mode = "generic" } } }' }
    assert.equal("generic", assert(rpc.load_xdp(generic, "veth0", 1)).attach.xdp_mode)
    rpc.unload_all(generic)
  end)

  it("stay as they were when somebody else's program is on the interface", function()
    pair.near:check { "ip", "link", "set", "dev", "veth0", "xdp", "object", rpc.other_object,
      "program", "other_shape" }
    local here = residue.scan(served)
    local program, err = rpc.load_xdp(served, "veth0", 1)
    assert.is_nil(program)
    assert.equal("EBUSY", err.code)
    assert.equal(here, residue.settled(served, here))
    pair.near:check { "ip", "link", "set", "dev", "veth0", "xdp", "off" }
  end)

  it("refuse an `ingress` qdisc where there is no other way", function()
    local own <close> = daemon.start { namespace = pair.near,
      config = 'return { interfaces = { ["*"] = { tc_attach = "clsact" } } }' }
    pair.near:check { "tc", "qdisc", "add", "dev", "veth0", "ingress" }
    local here = residue.scan(own)
    local program, err = rpc.load(own, { name = "count_tc",
      attach = { type = "tc", iface = "veth0", direction = "ingress", priority = 1 } })
    assert.is_nil(program)
    assert.matches("ingress", tostring(err))
    assert.equal(here, residue.settled(own, here))
    pair.near:check { "tc", "qdisc", "del", "dev", "veth0", "ingress" }
  end)

  it(("can be as long as %d members, each with its own map"):format(MANY), function()
    local programs = {}
    for i = 1, MANY do programs[i] = assert(rpc.load_xdp(served, "veth0", i)) end
    namespace.send(pair, 20)
    for i = 1, MANY do assert.equal(20, rpc.hits(programs[i])) end
    local segments <const> = rpc.call(served, "chain.get", { type = "xdp" }).segments
    assert.equal(MANY > MAPS_OF_A_PROGRAM, segments > 1)
    for id in bpf.program.each() do assert.truthy(id) end
  end)
end)
