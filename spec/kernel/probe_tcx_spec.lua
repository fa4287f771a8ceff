-- TCX: a link of its own for each program, in the kernel's list, by priority among ours.
local bpf = require "bpf"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local network_job = require "spec.support.network_job"
local probe = require "spec.support.probe"
local residue = require "spec.support.residue"

local SHOT <const>, OK <const> = "VERDICT=i32:2", "VERDICT=i32:0"

describe("tcx", function()
  local reason <const> = probe.missing "tcx"
  local bpfd <const>, pair <const> = host.for_all()
  -- a namespace is a slow thing to look through, for specs that are skipped
  if not reason then host.leaves_nothing(bpfd, probe.close_all) end

  local function words(priority, direction)
    return { "tcx", "-d", direction or "ingress", "-i", "veth0", "-p", tostring(priority) }
  end

  local function load(priority, verdict, direction)
    return probe.load(bpfd, "on_packet", words(priority, direction),
      { pid = 0, global = { verdict } })
  end

  ---Ids in the kernel's order.
  local function order(direction)
    return network_job.run(pair.near, function()
      return bpf.network.tcx(assert(bpf.network.index "veth0"), direction or "ingress")
    end)
  end

  local function ids(...)
    local list = {}
    for i, one in ipairs { ... } do list[i] = math.tointeger(tonumber(one.id)) end
    return list
  end

  if reason then
    it("is refused by a kernel that has none", function()
      local clean <const> = residue.scan(bpfd)
      local line = probe.line("on_packet", words(1), { pid = 0 })
      local result = bpfd:bpfctl(table.unpack(line))
      assert.equal(1, result.exit)
      assert.equal("", result.stdout)
      assert.matches("^bpfctl: [^\n]*this kernel has no TCX[^\n]*\n$", result.stderr)
      assert.equal(clean, residue.settled(bpfd, clean))
    end)
  end

  it("counts every packet, and prints its rows", function()
    if reason then pending(reason) end
    local one = load(50)
    assert.equal(one:expected {
      { "Priority", "50" }, { "Iface", "veth0" }, { "Direction", "in" },
    }, one.printed)
    assert.equal(one.printed, bpfd:check("get", one.id))
    namespace.send(pair, 30)
    assert.equal(30, one:events())
    one:unload()
    namespace.send(pair, 10)
    assert.equal(30, one:events())
    assert.same({}, order())
  end)

  it("runs by priority, lower first, and among equals the newer first #smoke", function()
    if reason then pending(reason) end
    local b = load(50)
    local a = load(10)
    local d = load(90)
    local c = load(50)
    assert.same(ids(a, c, b, d), order())
    c:unload()
    assert.same(ids(a, b, d), order())
    namespace.send(pair, 20)
    assert.same({ 20, 20, 20 }, { a:events(), b:events(), d:events() })
    local drops = load(20, SHOT)
    namespace.send(pair, 5)
    assert.same({ 25, 5, 20, 20 }, { a:events(), drops:events(), b:events(), d:events() })
    local accepts = load(5, OK)
    namespace.send(pair, 7)
    assert.same({ 7, 25, 5 }, { accepts:events(), a:events(), drops:events() })
  end)

  it("keeps the directions apart", function()
    if reason then pending(reason) end
    local inward, outward = load(1), load(1, nil, "egress")
    assert.same(ids(inward), order "ingress")
    assert.same(ids(outward), order "egress")
    assert.matches("\n Direction: +eg\n", outward.printed)
    namespace.send(pair, 9)
    assert.equal(9, inward:events())
  end)

  it("leaves others' programs, and bpfd's own chain, where they are", function()
    if reason then pending(reason) end
    local chain_id = bpfd:load("-p", probe.object, "-n", "on_packet", "-g", "STEP=u64:1",
      "tc", "-d", "ingress", "-i", "veth0", "-p", "10")
    local chained <const> = order()[1]
    local late, early = load(50), load(1)
    assert.same({ chained, table.unpack(ids(early, late)) }, order())
    namespace.send(pair, 4)
    assert.same({ 4, 4, 4 }, { bpfd:counter(chain_id, "events"), early:events(), late:events() })
    early:unload()
    assert.same({ chained, table.unpack(ids(late)) }, order())
  end)

  it("runs on after a crash of the daemon, and keeps its order then #smoke", function()
    if reason then pending(reason) end
    local first, last = load(10), load(30)
    bpfd:kill()
    namespace.send(pair, 10)
    bpfd:restart()
    local middle = load(20)
    namespace.send(pair, 10)
    assert.same(ids(first, middle, last), order())
    assert.same({ 20, 10, 20 }, { first:events(), middle:events(), last:events() })
    assert.equal(first.printed, bpfd:check("get", first.id))
  end)

  it("keeps its order when many are loaded at once", function()
    if reason then pending(reason) end
    local process = require "spec.support.process"
    local bpfctl = require "spec.support.bpfctl"
    local clients = {}
    for i = 1, 8 do
      local line = probe.line("on_packet", words(i * 10), { pid = 0 })
      clients[i] = process.start(pair.near:inside { bpfctl.path, table.unpack(line) },
        { env = { BPFD_SOCKET = bpfd.socket } })
    end
    for _, client in ipairs(clients) do assert.equal(0, client:wait()) end
    local priorities = {}
    for place, id in ipairs(order()) do
      priorities[place] = bpfd:json("get", tostring(id)).attach.priority
    end
    assert.same({ 10, 20, 30, 40, 50, 60, 70, 80 }, priorities)
  end)

  it("is refused on an interface that is not there", function()
    if reason then pending(reason) end
    local line = probe.line("on_packet", { "tcx", "-d", "ingress", "-i", "nosuch0", "-p", "1" },
      { pid = 0 })
    local result = bpfd:bpfctl(table.unpack(line))
    assert.equal(1, result.exit)
    assert.matches("^bpfctl: [^\n]*there is no interface nosuch0\n$", result.stderr)
  end)
end)
