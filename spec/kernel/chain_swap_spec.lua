-- Chains swapped under traffic: every packet meets one whole chain, the old one or the new one,
-- also where they are of different engines. Packets are numbered; the first and the last member of
-- each engine's chains count each number.
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

---Numbers below `sent` that no chain or more than one has counted, and those that a chain's first
---member has counted and its last one has not, or the other way round.
---@param ends { first: spec.member, last: spec.member }[]  of each engine
local function miscounted(ends, sent)
  local counts, wrong = {}, { missed = 0, doubled = 0, halved = 0 }
  for at, one in ipairs(ends) do
    counts[at] = { assert(one.first.object.maps[".bss"]:lookup(ZERO)),
      assert(one.last.object.maps[".bss"]:lookup(ZERO)) }
  end
  for number = 1, sent do
    local times = 0
    for _, count in ipairs(counts) do
      local first, last = count[1]:byte(number), count[2]:byte(number)
      if first ~= last then wrong.halved = wrong.halved + 1 end
      times = times + math.max(first, last)
    end
    if times == 0 then wrong.missed = wrong.missed + 1 end
    if times > 1 then wrong.doubled = wrong.doubled + 1 end
  end
  return wrong
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

---The chains of all engines, in turns, and their members.
local function versions_of(engines, kind)
  local makers, ends, members = {}, {}, {}
  for at, engine in ipairs(engines) do
    local function account()
      local member = support.member(kind, "chain_traffic_" .. kind, "account", nil, nil, engine)
      members[#members + 1] = member
      return member
    end
    ends[at] = { first = account(), last = account() }
    local own, others = versions(engine, kind, ends[at].first, ends[at].last)
    for place, maker in ipairs(own) do makers[(place - 1) * #engines + at] = maker end
    table.move(others, 1, #others, #members + 1, members)
  end
  return makers, ends, members
end

---One hook, traffic, and swaps: each packet must have been counted once by the first and the last.
local function swap_under_traffic(engines, hook, pair)
  local makers, ends, members = versions_of(engines, hook.type)

  -- the chain is there before the first packet, and until the last has come
  local build = makers[1]()
  local link = assert(hook:attach(build.program))
  local stop = namespaces.traffic(pair)
  local swaps, passed
  swaps, build, passed = swap(hook, link, makers, build)
  local sent = stop()
  local function counted(which)
    local sum = 0
    for _, one in ipairs(ends) do sum = sum + total(one[which]) end
    return sum
  end
  process.eventually(function() return counted "last" >= sent end, 3000)

  assert.is_true(swaps >= 5 and sent > 100)
  assert.same({ missed = 0, doubled = 0, halved = 0 }, miscounted(ends, sent))
  assert.same({ sent, sent }, { counted "first", counted "last" })
  if engines[1] == "fuse" and not engines[2] then assert.is_true(passed + ended(build) >= sent) end

  assert(hook:detach(link, build.program:info().id))
  assert(chain.settle())
  build:close()
  for _, member in ipairs(members) do member:close() end
end

local CHOICES <const> = { { "fuse" }, { "freplace" }, { "fuse", "freplace" } }

for _, engines in ipairs(CHOICES) do
  local words <const> = table.concat(engines, " and ")
  describe(("swapping a chain by %s under traffic"):format(words), function()
    local pair

    setup(function() pair = namespaces.pair "veth0" end)
    teardown(function()
      pair.near:close()
      pair.far:close()
    end)

    for name, options in pairs(HOOKS) do
      it(("on %s loses and doubles nothing"):format(name), function()
        local refusal = support.refusal(engines[#engines], options.type)
        if refusal then return pending(refusal) end
        -- packets go from far to near: what leaves is seen at the far end
        support.enter(options.direction == "egress" and pair.far or pair.near)
        options.ifindex = assert(network.index "veth0")
        local hook = assert(chain.hook(options))
        if hook:kind() == "tcx" and not require("bpf.core").chain.has_tcx() then
          return pending "this kernel has no TCX"
        end
        swap_under_traffic(engines, hook, pair)
      end)
    end
  end)
end
