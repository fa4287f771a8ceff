-- A daemon that is told to use the freplace engine, and what it says where the kernel refuses it.
local support = require "spec.support.chain"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local CONFIG <const> = 'return { interfaces = { ["*"] = { engine = "freplace" } } }'

describe("a daemon with engine = freplace", function()
  local served <const>, pair <const> = host.for_all { config = CONFIG }
  host.leaves_nothing(served)
  local refusal = support.refusal("freplace", "xdp")

  local function load_tc(priority)
    return rpc.load(served, { name = "count_tc", global = { VERDICT = "u32:0" },
      attach = { type = "tc", iface = "veth0", direction = "ingress", priority = priority } })
  end

  if refusal then
    it("says why this kernel cannot, and leaves nothing behind", function()
      for _, load in ipairs { function() return rpc.load_xdp(served, "veth0", 1) end,
        function() return load_tc(1) end } do
        local program, err = load()
        assert.is_nil(program)
        assert.equal("EPERM", err.code)
        assert.matches("refuses extension (freplace) programs", tostring(err), 1, true)
        assert.matches("fuse", err.advice, 1, true)
      end
    end)

    it("runs chains", function() pending(refusal) end)
    return
  end

  it("runs members in order on XDP and on TC, added and removed #smoke", function()
    local late = assert(rpc.load_xdp(served, "veth0", 50))
    local early = assert(rpc.load_xdp(served, "veth0", 10))
    local middle = assert(rpc.load_xdp(served, "veth0", 20))
    local tc_late, tc_early = assert(load_tc(9)), assert(load_tc(3))
    assert.equal("freplace", early.attach.engine)
    assert.same({ early.id, middle.id, late.id },
      rpc.chain(served, { type = "xdp", iface = "veth0" }))
    namespace.send(pair, 100)
    assert(rpc.call(served, "program.unload", { id = middle.id }))
    namespace.send(pair, 50)
    assert.same({ 150, 150, 150, 150 },
      { rpc.hits(early), rpc.hits(late), rpc.hits(tc_early), rpc.hits(tc_late) })
  end)

  it("adopts them after SIGKILL, and adds to them #smoke", function()
    local first = assert(rpc.load_xdp(served, "veth0", 10))
    local last = assert(rpc.load_xdp(served, "veth0", 30))
    served:kill()
    namespace.send(pair, 10)
    assert.same({ 10, 10 }, { rpc.hits(first), rpc.hits(last) })
    served:restart()
    local middle = assert(rpc.load_xdp(served, "veth0", 20))
    assert.same({ first.id, middle.id, last.id },
      rpc.chain(served, { type = "xdp", iface = "veth0" }))
    namespace.send(pair, 10)
    assert.same({ 20, 10, 20 }, { rpc.hits(first), rpc.hits(middle), rpc.hits(last) })
  end)

  it("loses no packet while members come and go", function()
    local first = assert(rpc.load_xdp(served, "veth0", 1))
    local last = assert(rpc.load_xdp(served, "veth0", 99))
    local stop = namespace.traffic(pair)
    for _ = 1, 3 do
      local guest = assert(rpc.load_xdp(served, "veth0", 50))
      assert(rpc.call(served, "program.unload", { id = guest.id }))
    end
    local sent = stop()
    process.eventually(function() return rpc.hits(last) >= sent end)
    assert.same({ sent, sent }, { rpc.hits(first), rpc.hits(last) })
  end)

  it("takes ten members, refuses the eleventh, and goes on as before", function()
    local programs = {}
    for place = 1, 10 do programs[place] = assert(rpc.load_xdp(served, "veth0", place)) end
    local full = residue.scan(served)
    local program, err = rpc.load_xdp(served, "veth0", 11)
    assert.is_nil(program)
    assert.equal("E2BIG", err.code)
    assert.matches("limit of 10", tostring(err), 1, true)
    assert.equal(full, residue.settled(served, full))
    namespace.send(pair, 20)
    for place = 1, 10 do assert.equal(20, rpc.hits(programs[place])) end
  end)
end)
