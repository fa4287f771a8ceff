-- Chains swapped under traffic: every packet meets one whole chain, the old one or the new one.
-- Packets are numbered; the first and the last member count each number.
local chain = require "bpf.chain"
local namespaces = require "spec.support.namespace"
local network = require "bpf.network"
local process = require "spec.support.process"
local support = require "spec.support.chain"
local uv = require "luv"

local MILLISECONDS <const> = tonumber(os.getenv "BPFD_SWAP_MILLISECONDS") or 1500
local PROCEED <const> = { xdp = 0x80000004, tc = 0x1 }
local ZERO <const> = string.pack("I4", 0)

-- Members between the first and the last in the longest version: several segments, or all slots.
local MANY <const> = { fuse = 24, freplace = 8 }

---How to build five chains between the same two members: short and long, inlined, called, and in
---segments.
local function versions(engine, kind, first, last)
  local file, others = "chain_traffic_" .. kind, {}
  local function load(from, name)
    local member = support.member(kind, from, name, nil, nil, engine)
    others[#others + 1] = member
    return member
  end
  local idle, jump, many = load(file, "idle"), load(file, "jump"), {}
  for position = 1, MANY[engine] do
    many[position] = load("chain_" .. kind, "count")
    many[position]:choose(kind == "xdp" and 2 or -1)
  end
  local function chain_of(...)
    local places = { first:with(PROCEED[kind]) }
    for _, member in ipairs { ... } do places[#places + 1] = member:with(PROCEED[kind]) end
    places[#places + 1] = last:with(PROCEED[kind])
    return function() return assert(chain.engine(engine).build({ type = kind }, places)) end
  end
  return {
    chain_of(), chain_of(idle, idle, idle), chain_of(jump, idle), chain_of(table.unpack(many)),
    chain_of(jump, idle, jump, idle, idle),
  }, others
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

---Packets that a chain has let through, where its engine counts them.
local function ended(build)
  local counters = chain.counters(build)
  if not counters then return 0 end
  assert.equal(0, counters.failed)
  return counters.ended
end

---Swaps for a while, each time to a chain built anew, and drops the old one. Returns how often, the
---last build, and how many packets the dropped ones have let through.
local function swap(hook, link, makers, build)
  local current, swaps, passed = 1, 0, 0
  local deadline = uv.hrtime() + MILLISECONDS * 1000000
  repeat
    current = current % #makers + 1
    local following = makers[current]()
    assert(hook:replace(link, following.program, build.program:info().id))
    assert(chain.settle())
    passed, swaps = passed + ended(build), swaps + 1
    build:close()
    build = following
  until uv.hrtime() > deadline and swaps >= #makers
  return swaps, build, passed
end

local HOOKS <const> = {
  ["an XDP link in native mode"] = { type = "xdp", mode = "native" },
  ["an XDP link in generic mode"] = { type = "xdp", mode = "generic" },
  ["a TCX ingress link"] = { type = "tc", direction = "ingress", attach = "tcx" },
  ["a TCX egress link"] = { type = "tc", direction = "egress", attach = "tcx" },
  ["a clsact ingress filter"] = { type = "tc", direction = "ingress", attach = "clsact" },
  ["a clsact egress filter"] = { type = "tc", direction = "egress", attach = "clsact" },
}

---One hook, traffic, and swaps: each packet must have been counted once by the first and the last.
local function swap_under_traffic(engine, hook, pair)
  local kind = hook.type
  local file = "chain_traffic_" .. kind
  local first <close> = support.member(kind, file, "account", nil, nil, engine)
  local last <close> = support.member(kind, file, "account", nil, nil, engine)
  local makers, others = versions(engine, kind, first, last)

  -- the chain is there before the first packet, and until the last has come
  local build = makers[1]()
  local link = assert(hook:attach(build.program))
  local stop = namespaces.traffic(pair)
  local swaps, passed
  swaps, build, passed = swap(hook, link, makers, build)
  local sent = stop()
  process.eventually(function() return total(last) >= sent end, 3000)

  assert.is_true(swaps >= 5 and sent > 100)
  for _, member in ipairs { first, last } do
    local missed, doubled = miscounted(member, sent)
    assert.same({ missed = 0, doubled = 0, total = sent },
      { missed = missed, doubled = doubled, total = total(member) })
  end
  if engine == "fuse" then assert.is_true(passed + ended(build) >= sent) end

  assert(hook:detach(link, build.program:info().id))
  assert(chain.settle())
  build:close()
  for _, member in ipairs(others) do member:close() end
end

for _, engine in ipairs { "fuse", "freplace" } do
  describe(("swapping a chain by %s under traffic"):format(engine), function()
    local pair

    setup(function() pair = namespaces.pair "veth0" end)
    teardown(function()
      pair.near:close()
      pair.far:close()
    end)

    for name, options in pairs(HOOKS) do
      it(("on %s loses and doubles nothing"):format(name), function()
        local refusal = support.refusal(engine, options.type)
        if refusal then return pending(refusal) end
        -- packets go from far to near: what leaves is seen at the far end
        support.enter(options.direction == "egress" and pair.far or pair.near)
        options.ifindex = assert(network.index "veth0")
        local hook = assert(chain.hook(options))
        if hook:kind() == "tcx" and not require("bpf.core").chain.has_tcx() then
          return pending "this kernel has no TCX"
        end
        swap_under_traffic(engine, hook, pair)
      end)
    end
  end)
end
