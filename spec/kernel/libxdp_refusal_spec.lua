-- Dispatchers that bpfd cannot change, and interfaces that it is told not to share: a refusal, and
-- nothing left behind. Dispatchers are loaded by hand, as no libxdp that writes them is at hand.
local bpf = require "bpf"
local core = require "bpf.core"
local support = require "spec.support.chain"
local daemon = require "spec.support.daemon"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"
local xdp_loader = require "spec.support.xdp_loader"

local engine_refusal = support.refusal("freplace", "xdp")

describe("an interface whose XDP program bpfd cannot join", function()
  local served <const>, pair <const> = host.for_all()
  local fused <const> = host.daemon_for_all({
    config = 'return { interfaces = { ["*"] = { engine = "fuse" } } }' }, pair)

  teardown(xdp_loader.clean_up)
  after_each(function() pair.near:run { "ip", "link", "set", "veth0", "xdp", "off" } end)

  local function attach(file)
    local object <close> = assert(bpf.object.open(support.path(file)))
    assert(object:load())
    local home <close> = assert(core.system.open "/proc/self/ns/net")
    support.enter(pair.near)
    assert(core.libxdp.attach(object.programs.xdp_dispatcher, assert(bpf.network.index "veth0"),
      "native", 0))
    assert(bpf.network.enter(home:fd()))
    return object.programs.xdp_dispatcher:info().id
  end

  local function expect_refusal(one, code, ...)
    local before <const>, pins <const> = residue.scan(one), xdp_loader.pins()
    local program, err = rpc.load_xdp(one, "veth0", 50)
    assert.is_nil(program)
    assert.equal(code, err.code)
    for _, words in ipairs { ... } do
      assert.matches(words, tostring(err) .. "; " .. (err.advice or ""), 1, true)
    end
    assert.equal(before, residue.settled(one, before))
    assert.equal(pins, xdp_loader.pins())
  end

  local CASES <const> = {
    { file = "libxdp_v1", code = "EOPNOTSUPP", words = "of version 1 (xdp-tools before 1.3)" },
    { file = "libxdp_v4", code = "EOPNOTSUPP", words = "of version 4, and this bpfd knows 1 to 3" },
    { file = "libxdp_damaged", code = "EBADMSG", words = "that is damaged" },
    { file = "libxdp_other", code = "EBUSY", words = "which is not ours" },
  }
  for _, case in ipairs(CASES) do
    it(("is left as it is: %s"):format(case.file), function()
      local id <const> = attach(case.file)
      expect_refusal(served, case.code, case.words, ("program %d"):format(id),
        "xdp off")
      if case.code ~= "EBUSY" then
        local chain = rpc.call(served, "chain.get", { type = "xdp", iface = "veth0" })
        assert.same({ "libxdp", 0 }, { chain.shared, #chain.members })
      end
    end)
  end

  it("is left alone by a daemon that is told to fuse", function()
    attach "libxdp_v4"
    expect_refusal(fused, "EOPNOTSUPP", "of version 4")
  end)

  if engine_refusal or xdp_loader.refusal() then
    it("knows libxdp's", function() pending(engine_refusal or xdp_loader.refusal()) end)
    return
  end

  it("is not joined where the engine or the interface's setting forbids it", function()
    local theirs = xdp_loader.load(pair.near, "veth0", {})
    expect_refusal(fused, "EBUSY", 'engine = "fuse"', 'libxdp = "auto"')
    do
      local never <close> = daemon.start { namespace = pair.near, config = [[return {
        interfaces = { veth0 = { libxdp = "never" }, ["*"] = { engine = "freplace" } } }]] }
      expect_refusal(never, "EBUSY", 'libxdp = "never"')
    end
    namespace.send(pair, 5)
    assert.equal(5, theirs:hits())
    xdp_loader.unload(pair.near, "veth0")
  end)

  it("is not joined where the members' pins are gone", function()
    xdp_loader.load(pair.near, "veth0", {})
    process.check { "sh", "-c", "rm -r " .. xdp_loader.directory .. "/dispatch-*" }
    expect_refusal(served, "EBUSY", "without its pins in " .. xdp_loader.directory, "xdp off")
  end)

  it("is not joined by an eleventh member", function()
    local theirs = {}
    for priority = 1, 10 do theirs[priority] = xdp_loader.load(pair.near, "veth0",
      { priority = priority }) end
    expect_refusal(served, "E2BIG", "11 members", "limit of 10")
    namespace.send(pair, 5)
    assert.equal(5, theirs[10]:hits())
    xdp_loader.unload(pair.near, "veth0")
  end)

  it("is left to xdp-loader's single program without dispatcher", function()
    -- as the kernels make it that refuse extension programs
    attach "libxdp_other"
    local result = xdp_loader.try_load(pair.near, "veth0", {})
    assert.not_equal(0, result.exit)
    expect_refusal(served, "EBUSY", "which is not ours")
  end)
end)
