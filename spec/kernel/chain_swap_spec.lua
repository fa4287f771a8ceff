-- Chains swapped under traffic: every packet meets one whole chain, the old one or the new one.
-- Packets are numbered; the first and the last member count each number.
local chain = require "bpf.chain"
local namespaces = require "spec.support.namespace"
local network = require "bpf.network"
local process = require "spec.support.process"
local support = require "spec.support.chain"
local uv = require "luv"

local engine = chain.engine "fuse"
local MILLISECONDS <const> = tonumber(os.getenv "BPFD_SWAP_MILLISECONDS") or 1500
local PROCEED <const> = { xdp = 0x80000004, tc = 0x1 }
local ZERO <const> = string.pack("I4", 0)

---Five chains between the same two members: short and long, inlined, called, and in segments.
local function versions(kind, first, last)
  local file = "chain_traffic_" .. kind
  local idle = support.member(kind, file, "idle")
  local jump = support.member(kind, file, "jump")
  local function chain_of(...)
    local places = { first:with(PROCEED[kind]) }
    for _, member in ipairs { ... } do places[#places + 1] = member:with(PROCEED[kind]) end
    places[#places + 1] = last:with(PROCEED[kind])
    return assert(engine.build({ type = kind }, places))
  end
  local many = {}
  for position = 1, 24 do
    many[position] = support.member(kind, "chain_" .. kind, "count")
    many[position]:choose(kind == "xdp" and 2 or -1)
  end
  return {
    chain_of(), chain_of(idle, idle, idle), chain_of(jump, idle), chain_of(table.unpack(many)),
    chain_of(jump, idle, jump, idle, idle),
  }, { idle, jump, table.unpack(many) }
end

local function total(member)
  return (string.unpack("I8", assert(member.object.maps.total:lookup(ZERO))))
end

---Numbers below `sent` that the member has not counted exactly once.
local function miscounted(member, sent)
  local seen, missed, doubled = assert(member.object.maps[".bss"]:lookup(ZERO)), 0, 0
  for number = 1, sent do
    local times = seen:byte(number)
    if times == 0 then missed = missed + 1 elseif times > 1 then doubled = doubled + 1 end
  end
  return missed, doubled
end

---Swaps for a while; returns how often, and the id of what runs then.
local function swap(hook, link, builds)
  local current, swaps, deadline = 1, 0, uv.hrtime() + MILLISECONDS * 1000000
  repeat
    local following = current % #builds + 1
    assert(hook:replace(link, builds[following].program, builds[current].program:info().id))
    current, swaps = following, swaps + 1
  until uv.hrtime() > deadline
  return swaps, builds[current].program:info().id
end

describe("swapping a chain under traffic", function()
  local pair

  setup(function() pair = namespaces.pair "veth0" end)
  teardown(function()
    pair.near:close()
    pair.far:close()
  end)

  for name, options in pairs {
    ["an XDP link in native mode"] = { type = "xdp", mode = "native" },
    ["an XDP link in generic mode"] = { type = "xdp", mode = "generic" },
    ["a TCX ingress link"] = { type = "tc", direction = "ingress", attach = "tcx" },
    ["a TCX egress link"] = { type = "tc", direction = "egress", attach = "tcx" },
    ["a clsact ingress filter"] = { type = "tc", direction = "ingress", attach = "clsact" },
    ["a clsact egress filter"] = { type = "tc", direction = "egress", attach = "clsact" },
  } do
    it(("on %s loses and doubles nothing"):format(name), function()
      -- packets go from far to near: what leaves is seen at the far end
      support.enter(options.direction == "egress" and pair.far or pair.near)
      options.ifindex = assert(network.index "veth0")
      local hook = assert(chain.hook(options))
      if hook:kind() == "tcx" and not require("bpf.core").chain.has_tcx() then
        return pending "this kernel has no TCX"
      end
      local file = "chain_traffic_" .. options.type
      local first <close> = support.member(options.type, file, "account")
      local last <close> = support.member(options.type, file, "account")
      local builds, others = versions(options.type, first, last)

      -- the chain is there before the first packet, and until the last has come
      local link = assert(hook:attach(builds[1].program))
      local stop = namespaces.traffic(pair)
      local swaps, id = swap(hook, link, builds)
      local sent = stop()
      process.eventually(function() return total(last) >= sent end, 3000)

      assert.is_true(swaps > 10 and sent > 1000)
      local missed, doubled = miscounted(first, sent)
      assert.same({ 0, 0, sent }, { missed, doubled, total(first) })
      missed, doubled = miscounted(last, sent)
      assert.same({ 0, 0, sent }, { missed, doubled, total(last) })
      local ended = 0
      for _, build in ipairs(builds) do
        local counters = assert(chain.counters(build))
        assert.equal(0, counters.failed)
        ended = ended + counters.ended
      end
      assert.is_true(ended >= sent)

      assert(hook:detach(link, id))
      assert(chain.settle())
      for _, build in ipairs(builds) do build:close() end
      for _, member in ipairs(others) do member:close() end
    end)
  end
end)
