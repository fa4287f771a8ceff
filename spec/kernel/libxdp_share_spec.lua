-- Chains that bpfd begins as libxdp's, and what becomes of them: other hands, restarts, lost pins.
local support = require "spec.support.chain"
local daemon = require "spec.support.daemon"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"
local xdp_loader = require "spec.support.xdp_loader"

local refusal = support.refusal("freplace", "xdp") or xdp_loader.refusal()

describe("a chain that bpfd shares with libxdp from the start", function()
  if refusal then
    it("runs", function() pending(refusal) end)
    return
  end

  local served, pair, version

  -- Dispatchers that xdp-loader understands, unless told otherwise.
  local function config_of(settings, other_version)
    version = version or xdp_loader.own_version(pair.near, "veth0")
    return ('return { interfaces = { ["*"] = { dispatcher_version = %d, %s } } }'):format(
      other_version or version, settings)
  end

  local function serve(settings, options)
    options = options or {}
    options.namespace, options.config = pair.near, config_of(settings, options.version)
    return daemon.start(options)
  end

  served, pair = host.for_all { config = function() return config_of 'engine = "freplace"' end }
  teardown(xdp_loader.clean_up)

  local function nothing_is_left()
    assert.equal("", xdp_loader.left(served))
    assert.is_nil(pair.near:check({ "ip", "link", "show" }):find "prog/xdp")
  end

  local function set_mtu(bytes)
    for _, side in ipairs { pair.near, pair.far } do
      side:check { "ip", "link", "set", "veth0", "mtu", tostring(bytes) }
    end
  end

  after_each(function()
    set_mtu(1500)
    rpc.unload_all(served)
    xdp_loader.clear(pair.near, "veth0")
    nothing_is_left()
  end)

  local function load(priority) return assert(rpc.load_xdp(served, "veth0", priority)) end
  local function their(wish) return xdp_loader.load(pair.near, "veth0", wish) end
  local function unload(program) assert(rpc.call(served, "program.unload", { id = program.id })) end
  local function ids() return rpc.chain(served, { type = "xdp", iface = "veth0" }) end
  local function seen() return xdp_loader.ids(pair.near, "veth0") end
  local function logged(words)
    return process.eventually(function() return served:log_text():find(words, 1, true) end, 5000)
  end

  local function live_version() return xdp_loader.live_version(pair.near, "veth0") end

  it("shows in xdp-loader status, which can add to it and take its own away", function()
    local first, second = load(10), load(30)
    local members, dispatcher = xdp_loader.status(pair.near, "veth0")
    assert.same({ "xdp_dispatcher", "native" }, { dispatcher.name, dispatcher.mode })
    assert.same({
      { id = first.id, priority = 10, name = "count_xdp", actions = "XDP_PASS" },
      { id = second.id, priority = 30, name = "count_xdp", actions = "XDP_PASS" },
    }, members)
    local theirs = their { priority = 20 }
    assert.same({ first.id, theirs.id, second.id }, seen())
    assert.same({ first.id, theirs.id, second.id }, ids())
    namespace.send(pair, 10)
    assert.same({ 10, 10, 10 }, { rpc.hits(first), theirs:hits(), rpc.hits(second) })
    xdp_loader.unload(pair.near, "veth0", theirs.id)
    assert.same({ first.id, second.id }, seen())
    namespace.send(pair, 10)
    assert.same({ 20, 20 }, { rpc.hits(first), rpc.hits(second) })
  end)

  it("ends with its last member, ours or theirs", function()
    local ours, theirs = load(10), their { priority = 20 }
    unload(ours)
    assert.same({ theirs.id }, seen())
    namespace.send(pair, 5)
    assert.equal(5, theirs:hits())
    xdp_loader.unload(pair.near, "veth0", theirs.id)
    nothing_is_left()
    ours = load(10)
    theirs = their { priority = 20 }
    xdp_loader.unload(pair.near, "veth0", theirs.id)
    unload(ours)
    nothing_is_left()
  end)

  it("is adopted after SIGKILL as xdp-loader has left it", function()
    local ours, theirs = load(10), their { priority = 20 }
    served:kill()
    local more = their { priority = 5 }
    xdp_loader.unload(pair.near, "veth0", theirs.id)
    namespace.send(pair, 5)
    served:restart()
    assert.same({ more.id, ours.id }, ids())
    assert.equal(1, served:json("get", tostring(ours.id)).attach.position)
    local other = load(7)
    assert.same({ more.id, other.id, ours.id }, ids())
    assert.same(ids(), seen())
    namespace.send(pair, 5)
    assert.same({ 10, 5, 10 }, { more:hits(), rpc.hits(other), rpc.hits(ours) })
    served:kill()
    served:restart()
    unload(ours)
    unload(other)
    assert.same({ more.id }, seen())
  end)

  it("is adopted without its database", function()
    local theirs, ours = their { priority = 20 }, load(10)
    served:kill()
    process.check { "rm", "-r", served.state_dir }
    served:restart()
    assert.same({ ours.id, theirs.id }, ids())
    unload(ours)
    assert.same({ theirs.id }, seen())
  end)

  it("is told of, when somebody takes it off the interface, and runs again later", function()
    local ours = load(10)
    their { priority = 20 }
    xdp_loader.unload(pair.near, "veth0")
    assert.truthy(logged "has taken the chain of xdp-")
    assert.is_nil(served:json("get", tostring(ours.id)).attach.position)
    local more = load(5)
    assert.same({ more.id, ours.id }, seen())
    namespace.send(pair, 5)
    assert.same({ 5, 5 }, { rpc.hits(ours), rpc.hits(more) })
  end)

  it("is told of, when somebody takes one of ours out of it", function()
    local ours, other = load(10), load(20)
    xdp_loader.unload(pair.near, "veth0", ours.id)
    assert.truthy(logged(("has taken program %d out of the chain"):format(ours.id)))
    assert.same({ other.id }, ids())
    assert.is_nil(served:json("get", tostring(ours.id)).attach.position)
    unload(ours)
    namespace.send(pair, 5)
    assert.equal(5, rpc.hits(other))
  end)

  it("keeps our members and gets new pins when somebody removes libxdp's", function()
    local first, last = load(10), load(30)
    process.check { "sh", "-c", "rm -r " .. xdp_loader.directory .. "/dispatch-*" }
    namespace.send(pair, 5)
    assert.same({ 5, 5 }, { rpc.hits(first), rpc.hits(last) })
    assert.truthy(logged "has removed pins of libxdp's")
    assert.same({ first.id, last.id }, seen())
    local theirs = their { priority = 20 }
    process.eventually(function() return #ids() == 3 end)
    process.check { "sh", "-c", "rm -r " .. xdp_loader.directory .. "/dispatch-*" }
    assert.truthy(logged(("program %d of libxdp"):format(theirs.id)))
    assert.same({ first.id, last.id }, seen())
    namespace.send(pair, 5)
    assert.same({ 10, 10 }, { rpc.hits(first), rpc.hits(last) })
  end)

  it("survives `xdp-loader clean`, here and in another namespace", function()
    local ours, theirs = load(10), their { priority = 20 }
    assert.same({ ours.id, theirs.id }, ids())
    xdp_loader.run(pair.near, { "clean" })
    namespace.send(pair, 5)
    assert.same({ 5, 5 }, { rpc.hits(ours), theirs:hits() })
    xdp_loader.run(pair.far, { "clean" })
    namespace.send(pair, 5)
    assert.equal(10, rpc.hits(ours))
    process.eventually(function() return #seen() > 0 end, 5000)
    assert.equal(ours.id, seen()[1])
  end)

  -- From spec/objects/chain_xdp, returning XDP_PASS.
  local function load_kind(name, priority)
    return rpc.load(served, { name = name, global = { choice = ("02" .. ("00"):rep(7)):rep(2) },
      attach = { type = "xdp", iface = "veth0", priority = priority } }, support.path "chain_xdp")
  end

  it("takes fragments as long as every member does", function()
    set_mtu(9000)
    local first, second = assert(load_kind("frags", 10)), assert(load_kind("frags", 20))
    local before <const> = xdp_loader.pins()
    local plain, err = load_kind("count", 30)
    assert.is_nil(plain)
    assert.equal("ERANGE", err.code)
    assert.matches("not all members use xdp.frags", tostring(err), 1, true)
    assert.not_equal(0, xdp_loader.try_load(pair.near, "veth0", { priority = 40 }).exit)
    assert.equal(before, xdp_loader.pins())
    assert.same({ first.id, second.id }, seen())
    set_mtu(1500)
    plain = assert(load_kind("count", 30))
    namespace.send(pair, 5)
    assert.equal(5, served:counter(plain.id, "counter"))
    assert.same({ first.id, second.id, plain.id }, ids())
  end)

  it("goes with its interface, and leaves no pins", function()
    pair.near:check { "ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1" }
    local ours = assert(rpc.load_xdp(served, "gone0", 10))
    xdp_loader.load(pair.near, "gone0", { priority = 20 })
    pair.near:check { "ip", "link", "delete", "gone0" }
    assert.truthy(process.eventually(function() return not rpc.call(served, "program.get",
      { id = ours.id }) end))
  end)

  it("is joined by another bpfd in the version that it has, and both follow", function()
    local other <close> = serve('libxdp = "share"', { version = 5 - version })
    local theirs = assert(rpc.load_xdp(other, "veth0", 20))
    assert.equal(5 - version, live_version())
    local ours = load(10)
    assert.equal(5 - version, live_version())
    assert.same({ ours.id, theirs.id }, rpc.chain(other, { iface = "veth0" }), other:log_text())
    namespace.send(pair, 5)
    assert.same({ 5, 5 }, { rpc.hits(ours), rpc.hits(theirs) })
    -- no xdp-tools touches another's version
    local result = xdp_loader.try_load(pair.near, "veth0", {})
    assert.not_equal(0, result.exit)
    assert(rpc.call(other, "program.unload", { id = theirs.id }))
    assert.same({ ours.id }, ids())
    namespace.send(pair, 5)
    assert.equal(10, rpc.hits(ours))
  end)

  it("is bpfd's alone where the configuration says so", function()
    local alone <close> = serve 'libxdp = "never", engine = "freplace"'
    local ours = assert(rpc.load_xdp(alone, "veth0", 10))
    assert.equal("freplace", ours.attach.engine)
    assert.equal("", xdp_loader.pins())
    assert.not_equal(0, xdp_loader.try_load(pair.near, "veth0", {}).exit)
    namespace.send(pair, 5)
    assert.equal(5, rpc.hits(ours))
    assert(rpc.call(alone, "program.unload", { id = ours.id }))
  end)

  it("has its pins where LIBXDP_BPFFS says", function()
    local place <const> = "/sys/fs/bpf/bpfd-spec-elsewhere"
    process.check { "mkdir", "-p", place }
    local env <const> = { LIBXDP_BPFFS = place }
    local elsewhere <close> = serve('libxdp = "share"', { env = env })
    local ours = assert(rpc.load_xdp(elsewhere, "veth0", 10))
    local theirs = xdp_loader.load(pair.near, "veth0", { priority = 20, env = env })
    assert.same({ ours.id, theirs.id }, xdp_loader.ids(pair.near, "veth0", { env = env }))
    assert.same({ ours.id, theirs.id }, rpc.chain(elsewhere, { iface = "veth0" }))
    assert.equal("", xdp_loader.pins())
    assert(rpc.call(elsewhere, "program.unload", { id = ours.id }))
    xdp_loader.run(pair.near, { "unload", "veth0", "--all" }, { env = env })
    process.check { "rm", "-r", place }
  end)

  it("can be in another network namespace", function()
    local theirs = xdp_loader.load(pair.far, "veth0", { priority = 20 })
    local ours = assert(rpc.load(served, { name = "count_xdp", attach = { type = "xdp",
      iface = "veth0", priority = 10, netns = pair.far.path } }))
    assert.same({ ours.id, theirs.id }, xdp_loader.ids(pair.far, "veth0"))
    local more = xdp_loader.load(pair.far, "veth0", { priority = 5 })
    assert.same({ more.id, ours.id, theirs.id },
      rpc.chain(served, { iface = "veth0", netns = pair.far.path }))
    unload(ours)
    assert.same({ more.id, theirs.id }, xdp_loader.ids(pair.far, "veth0"))
    xdp_loader.unload(pair.far, "veth0")
  end)
end)
