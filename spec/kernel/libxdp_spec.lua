-- One interface, shared by bpfd and xdp-loader.
local bpf = require "bpf"
local support = require "spec.support.chain"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"
local xdp_loader = require "spec.support.xdp_loader"

local refusal = support.refusal("freplace", "xdp") or xdp_loader.refusal()

describe("an interface with xdp-loader's programs", function()
  if refusal then
    it("is shared", function() pending(refusal) end)
    return
  end

  local served <const>, pair <const> = host.for_all()

  teardown(xdp_loader.clean_up)
  after_each(function()
    rpc.unload_all(served)
    xdp_loader.clear(pair.near, "veth0")
    assert.equal("", xdp_loader.left(served))
  end)

  local function their(wish) return xdp_loader.load(pair.near, "veth0", wish) end

  local function members()
    return rpc.call(served, "chain.get", { type = "xdp", iface = "veth0" }).members
  end

  it("shows them as members of somebody else's", function()
    local first = their { priority = 20 }
    local last = their { priority = 70, name = "peer_drop", actions = "XDP_DROP,XDP_PASS" }
    assert.same({
      { position = 0, id = first.id, priority = 20, proceed_on = { "pass", "dispatcher_return" },
        managed = false, owner = "libxdp" },
      { position = 1, id = last.id, priority = 70,
        proceed_on = { "drop", "pass", "dispatcher_return" }, managed = false, owner = "libxdp" },
    }, members())
    local listed
    for _, program in ipairs(served:json("list", "--all")) do
      if program.id == first.id then listed = program end
    end
    assert.equal("ext", listed.type)
    assert.is_false(listed.managed)
    local got = served:json("get", tostring(last.id))
    assert.equal("veth0", got.attach.iface)
    assert.same({ 1, 70, "freplace" },
      { got.attach.position, got.attach.priority, got.attach.engine })
    assert.same({ "drop", "pass", "dispatcher_return" }, got.attach.proceed_on)
    assert.matches("NONE", served:check("get", tostring(last.id)), 1, true)
    assert.equal(("%d\n%d\n"):format(first.id, last.id),
      served:check("-q", "chain", "list", "-i", "veth0"))
    assert.matches(("veth0  xdp   freplace  1 +%d +70 +libxdp  drop, pass, dispatcher_return")
      :format(last.id), served:check("chain", "list"))
    local refused = served:bpfctl("unload", tostring(last.id))
    assert.equal(1, refused.exit)
    assert.matches("was not loaded by bpfd", refused.stderr, 1, true)
  end)

  it("is joined at the load's priority, and theirs stay as they were", function()
    local first = their { priority = 20, actions = "XDP_PASS,XDP_TX" }
    local last = their { priority = 70, name = "peer_with_a_name_of_many_letters" }
    local before = xdp_loader.status(pair.near, "veth0")
    local middle = assert(rpc.load_xdp(served, "veth0", 50))
    assert.same({ 1, "freplace", "native" },
      { middle.attach.position, middle.attach.engine, middle.attach.xdp_mode })
    local after, dispatcher = xdp_loader.status(pair.near, "veth0")
    assert.equal("xdp_dispatcher", dispatcher.name)
    assert.same({ first.id, middle.id, last.id }, { after[1].id, after[2].id, after[3].id })
    assert.same({ before[1], before[2] }, { after[1], after[3] })
    assert.same({ 50, "count_xdp", "XDP_PASS" },
      { after[2].priority, after[2].name, after[2].actions })
    namespace.send(pair, 100)
    assert.same({ 100, 100, 100 }, { first:hits(), rpc.hits(middle), last:hits() })
    assert(rpc.call(served, "program.unload", { id = middle.id }))
    namespace.send(pair, 10)
    assert.same({ 110, 110 }, { first:hits(), last:hits() })
    assert.same(before, (xdp_loader.status(pair.near, "veth0")))
  end)

  it("obeys everybody's actions", function()
    local first = their { priority = 20, name = "peer_drop", actions = "XDP_DROP" }
    local dropping = assert(rpc.load_xdp(served, "veth0", 30, { global = { VERDICT = "u32:1" } }))
    local last = their { priority = 40 }
    namespace.send(pair, 10)
    assert.same({ 10, 10, 0 }, { first:hits(), rpc.hits(dropping), last:hits() })
  end)

  it("tests the verdict of an only member, also where xdp-loader has left it alone", function()
    local theirs = their { priority = 20 }
    local ours = assert(rpc.load(served, { name = "count_xdp", global = { VERDICT = "u32:1" },
      attach = { type = "xdp", iface = "veth0", priority = 10, proceed_on = { "drop" } } }))
    xdp_loader.unload(pair.near, "veth0", theirs.id)
    local _, left = xdp_loader.status(pair.near, "veth0")
    process.eventually(function()
      local _, now = xdp_loader.status(pair.near, "veth0")
      return now.id ~= left.id
    end)
    local before <const> = pair.near:received()
    namespace.send(pair, 10)
    process.eventually(function() return pair.near:received() >= before + 10 end)
    assert.same({ 10, 10 }, { rpc.hits(ours), pair.near:received() - before })
  end)

  it("is changed by either side, each keeping the other's", function()
    local theirs = their { priority = 30 }
    local ours = assert(rpc.load_xdp(served, "veth0", 40))
    local more = their { priority = 50 }
    assert.same({ theirs.id, ours.id, more.id }, xdp_loader.ids(pair.near, "veth0"))
    assert.equal(1, served:json("get", tostring(ours.id)).attach.position)
    local early = assert(rpc.load_xdp(served, "veth0", 10))
    xdp_loader.unload(pair.near, "veth0", theirs.id)
    assert.same({ early.id, ours.id, more.id }, rpc.chain(served, { iface = "veth0" }))
    namespace.send(pair, 10)
    assert.same({ 10, 10, 10 }, { rpc.hits(early), rpc.hits(ours), more:hits() })
    assert(rpc.call(served, "program.unload", { id = early.id }))
    xdp_loader.unload(pair.near, "veth0", more.id)
    namespace.send(pair, 10)
    assert.equal(20, rpc.hits(ours))
    assert.same({ ours.id }, xdp_loader.ids(pair.near, "veth0"))
    assert.same({ ours.id }, rpc.chain(served, { iface = "veth0" }))
  end)

  -- From spec/objects/chain_xdp: what it returns, and how often it has run.
  local PASS <const>, DROP <const> = ("02" .. ("00"):rep(7)):rep(2), ("01" .. ("00"):rep(7)):rep(2)

  local function load_kind(name, priority, choice)
    return rpc.load(served, { name = name, global = { choice = choice },
      attach = { type = "xdp", iface = "veth0", priority = priority } }, support.path "chain_xdp")
  end

  local function runs(program)
    for _, id in ipairs(program.kernel.map_ids) do
      local map <close> = assert(bpf.map.open_id(id))
      if map:info().name:find "%.bss$" then
        return (string.unpack("=I8", assert(map:lookup(string.pack("=I4", 0)))))
      end
    end
  end

  it("runs members of ours that change packets", function()
    local first, last = their { priority = 5 }, their { priority = 40 }
    local head = assert(load_kind("head", 10, PASS))
    local tail = assert(load_kind("tail", 30, DROP))
    namespace.send(pair, 10)
    assert.same({ 10, 10, 10, 0 }, { first:hits(), runs(head), runs(tail), last:hits() })
    -- an xdp-loader whose own dispatchers do not allow that is refused, and what runs stays
    local result = xdp_loader.try_load(pair.near, "veth0", { priority = 20 })
    namespace.send(pair, 10)
    assert.same({ 20, 20, 20, 0 }, { first:hits(), runs(head), runs(tail), last:hits() })
    assert.equal(result.exit == 0 and 5 or 4, #members())
  end)

  it("loses no packet while both come and go", function()
    local theirs = their { priority = 99 }
    local ours = assert(rpc.load_xdp(served, "veth0", 1))
    local stop = namespace.traffic(pair)
    for _ = 1, 2 do
      local guest = assert(rpc.load_xdp(served, "veth0", 50))
      local peer = their { priority = 60 }
      assert(rpc.call(served, "program.unload", { id = guest.id }))
      xdp_loader.unload(pair.near, "veth0", peer.id)
    end
    local sent = stop()
    process.eventually(function() return rpc.hits(ours) >= sent end)
    assert.same({ sent, sent }, { rpc.hits(ours), theirs:hits() })
  end)
end)
