-- The declarations in examples/apply, as a user applies them; only where the objects are differs.
local bpf = require "bpf"
local bpfctl = require "spec.support.bpfctl"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

describe("the declaration", function()
  local served <const>, pair <const> = host.for_each { iface = "eth0" }

  local function text_of(name)
    local file <close> = assert(io.open(("examples/apply/%s.lua"):format(name)))
    return (file:read "a":gsub("/run/bpfd/examples/", bpfctl.examples))
  end

  local function apply(text) return bpfctl.applied(served, "x.lua", text) end

  local function packets(id, slot)
    local program = assert(rpc.call(served, "program.get", { id = id }))
    local map <close> = assert(bpf.map.open_pin(program.map_pin_path .. "/xdp_stats_map"))
    local sum = 0
    for _, value in ipairs(assert(map:lookup(string.pack("=I4", slot)))) do
      sum = sum + string.unpack("=I8", value)
    end
    return sum
  end

  it("chain.lua runs from top to bottom, and is reordered without a load", function()
    local text <const>, PASS <const> = text_of "chain", 2
    local by_label = apply(text)
    namespace.send(pair, 10) -- to the port that is dropped
    namespace.send(pair, 5, 7008)
    assert.same({ 15, 5 }, { packets(by_label["count-all"].id, PASS),
      packets(by_label["count-passed"].id, PASS) })
    local drop <const> = text:match '\nxdp%("drop%-port[^\n]*'
    local at, to = text:find(drop, 1, true)
    local _, changes = apply(text:sub(1, at - 1) .. text:sub(to + 1) .. drop)
    local actions = {}
    for i, change in ipairs(changes) do actions[i] = change.action .. " " .. change.label end
    assert.equal("keep count-all, adjust count-passed, adjust drop-port",
      table.concat(actions, ", "))
    namespace.send(pair, 10)
    assert.equal(15, packets(by_label["count-passed"].id, PASS))
  end)

  it("counters.lua is on each veth that there is and will be", function()
    local _, changes = apply(text_of "counters")
    assert.same({}, changes)
    pair.near:check { "ip", "link", "add", "veth1", "type", "veth", "peer", "name", "other1" }
    local function on(iface)
      local count = 0
      for _, program in ipairs(assert(rpc.call(served, "program.list")).programs) do
        if program.attach.iface == iface then count = count + 1 end
      end
      return count
    end
    process.eventually(function() return on "veth1" == 3 end)
    assert.equal(3, on "veth1")
    pair.near:check { "ip", "link", "del", "veth1" }
    process.eventually(function() return on "veth1" == 0 end)
    assert.equal(0, #assert(rpc.call(served, "program.list")).programs)
  end)

  it("tracing.lua loads programs without an interface", function()
    local text <const> = text_of "tracing"
    local _, changes = apply(text)
    assert.equal(2, #changes)
    local _, again = apply(text)
    for _, change in ipairs(again) do assert.equal("keep", change.action) end
  end)
end)
