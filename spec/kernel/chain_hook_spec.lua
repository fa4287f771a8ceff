-- Hooks: what is there before us is refused and left alone, and what we leave is as we found it.
local chain = require "bpf.chain"
local namespaces = require "spec.support.namespace"
local network = require "bpf.network"
local support = require "spec.support.chain"
local uv = require "luv"

local BUILD <const> = os.getenv "BUILD" or uv.cwd() .. "/build"
local engine = chain.engine "fuse"

describe("a hook", function()
  local pair, members

  local function build(kind)
    local member = support.member(kind, "chain_" .. kind, "count")
    members[#members + 1] = member
    member:choose(kind == "xdp" and 2 or -1)
    return assert(engine.build({ type = kind }, { member:with(kind == "xdp" and 4 or 1) }))
  end

  local function hook_on(options)
    options.ifindex = assert(network.index "veth0")
    return assert(chain.hook(options))
  end

  local function qdiscs()
    return pair.near:check { "tc", "qdisc", "show", "dev", "veth0" }
  end

  before_each(function()
    members = {}
    pair = namespaces.pair "veth0"
    support.enter(pair.near)
  end)
  after_each(function()
    for _, member in ipairs(members) do member:close() end
    pair.near:close()
    pair.far:close()
  end)

  it("is named after its type, namespace, interface and direction", function()
    local xdp, tc = hook_on { type = "xdp" }, hook_on { type = "tc", direction = "egress" }
    assert.matches("^xdp%-%d+%-%d+$", xdp.name)
    assert.matches("^tc%-%d+%-%d+%-egress$", tc.name)
    assert.has_error(function() chain.hook { type = "tc", ifindex = 1 } end)
    assert.has_error(function() chain.hook { type = "xdp", ifindex = 1, color = 1 } end)
  end)

  it("runs XDP natively where the driver can", function()
    local hook, built <close> = hook_on { type = "xdp" }, build "xdp"
    assert.is_nil((hook:running()))
    local link, mode, refusal = assert(hook:attach(built.program))
    assert.equal("native", mode)
    assert.is_nil(refusal)
    local id, how = hook:running()
    assert.equal(built.program:info().id, id)
    assert.equal("native", how)
    assert(hook:detach(link))
    assert.is_nil((hook:running()))
  end)

  it("falls back to generic mode and says why, unless told to be native", function()
    pair.near:check { "ip", "link", "set", "veth0", "mtu", "9000" }
    pair.far:check { "ip", "link", "set", "veth0", "mtu", "9000" }
    local built <close> = build "xdp"
    local native, err = hook_on { type = "xdp", mode = "native" }:attach(built.program)
    assert.is_nil(native)
    assert.equal("ERANGE", err.code)
    local hook = hook_on { type = "xdp" }
    local link, mode, refusal = assert(hook:attach(built.program))
    assert.equal("generic", mode)
    assert.equal("ERANGE", refusal)
    assert.equal("generic", (select(2, hook:running())))
    assert(hook:detach(link))
  end)

  it("refuses to take the place of a foreign XDP program", function()
    pair.near:check { "ip", "link", "set", "veth0", "xdp", "obj",
      BUILD .. "/objects/chain_licence.o", "sec", "xdp" }
    local hook, built <close> = hook_on { type = "xdp" }, build "xdp"
    local foreign = assert(hook:running())
    local link, err = hook:attach(built.program)
    assert.is_nil(link)
    assert.equal("EBUSY", err.code)
    assert.matches("program " .. foreign, err.message, 1, true)
    assert.is_truthy(err.advice)
    assert.equal(foreign, (hook:running()))
  end)

  it("says when somebody else has replaced the program, and leaves it", function()
    for _, options in ipairs {
      { type = "xdp" }, { type = "tc", direction = "ingress" },
      { type = "tc", direction = "ingress", attach = "clsact" },
    } do
      local first <close> = build(options.type)
      local second <close> = build(options.type)
      local hook = hook_on(options)
      local link = assert(hook:attach(first.program))
      local id = first.program:info().id
      local ok, err = hook:replace(link, second.program, second.program:info().id)
      assert.is_nil(ok)
      assert.equal("ESTALE", err.code)
      assert.equal(id, (hook:running(link ~= true and link or nil)))
      assert(hook:detach(link, id))
    end
  end)

  it("says that the interface is gone", function()
    local hook = hook_on { type = "xdp" }
    local first <close> = build "xdp"
    local second <close> = build "xdp"
    local link = assert(hook:attach(first.program))
    pair.near:check { "ip", "link", "delete", "veth0" }
    assert.is_nil((hook:running(link)))
    local ok, err = hook:replace(link, second.program, first.program:info().id)
    assert.is_nil(ok)
    assert.equal("ENOLINK", err.code)
    link:close()
  end)

  it("adds clsact where it is missing, and removes it when nobody has a filter there", function()
    local hook = hook_on { type = "tc", direction = "egress", attach = "clsact" }
    local built <close> = build "tc"
    local before = qdiscs()
    assert(hook:attach(built.program))
    assert.equal(built.program:info().id, (hook:running()))
    assert.matches("clsact", qdiscs(), 1, true)
    assert(hook:detach(nil, built.program:info().id))
    assert.equal(before, qdiscs())

    pair.near:check { "tc", "qdisc", "add", "dev", "veth0", "clsact" }
    pair.near:check { "tc", "filter", "add", "dev", "veth0", "ingress", "prio", "9", "bpf", "da",
      "obj", BUILD .. "/objects/chain_traffic_tc.o", "sec", "tc" }
    assert(hook:attach(built.program))
    assert(hook:detach(nil, built.program:info().id))
    assert.matches("clsact", qdiscs(), 1, true)
    assert.matches("pref 9 bpf", (pair.near:check {
      "tc", "filter", "show", "dev", "veth0", "ingress",
    }))
  end)

  it("refuses an ingress qdisc in the place of clsact", function()
    pair.near:check { "tc", "qdisc", "add", "dev", "veth0", "ingress" }
    local before = qdiscs()
    local hook = hook_on { type = "tc", direction = "ingress", attach = "clsact" }
    local built <close> = build "tc"
    local ok, err = hook:attach(built.program)
    assert.is_nil(ok)
    assert.equal("EBUSY", err.code)
    assert.matches("ingress", err.message, 1, true)
    assert.is_truthy(err.advice)
    assert.equal(before, qdiscs())
  end)

  it("refuses a foreign filter at its own handle and priority", function()
    local hook = hook_on { type = "tc", direction = "ingress", attach = "clsact" }
    pair.near:check { "tc", "qdisc", "add", "dev", "veth0", "clsact" }
    pair.near:check { "tc", "filter", "add", "dev", "veth0", "ingress", "prio", "3069", "handle",
      "0xbfd", "bpf", "da", "obj", BUILD .. "/objects/chain_traffic_tc.o", "sec", "tc" }
    local foreign = assert(hook:running())
    local built <close> = build "tc"
    local ok, err = hook:attach(built.program)
    assert.is_nil(ok)
    assert.equal("EBUSY", err.code)
    assert.equal(foreign, (hook:running()))
  end)
end)
