-- The fuse engine in chosen situations: limits, segments, what is refused, and that nothing stays
-- behind.
local chain = require "bpf.chain"
local chain_engine = require "spec.support.chain_engine"
local support = require "spec.support.chain"
local verdict = require "bpf.verdict"

local fuse <const> = chain_engine.new "fuse"
local engine <const> = fuse.engine
local XDP <const>, TC <const> = { type = "xdp" }, { type = "tc" }
local ALL <const> = assert(verdict.encode("xdp", verdict.values "xdp"))
local PASS <const>, DROP <const>, ABORTED <const> = 2, 1, 0

---So many members with maps of their own, all of which proceed.
local function own_members(kind, count, value)
  local members = {}
  for position = 1, count do
    local member = support.member(kind, "chain_" .. kind, "count")
    member:choose(value)
    members[position] = member
  end
  return members
end

local function places_of(members, mask)
  local places = {}
  for position, member in ipairs(members) do places[position] = member:with(mask) end
  return places
end

local function close_all(members)
  for _, member in ipairs(members) do member:close() end
end

describe("a fused chain", function()
  for _, case in ipairs { { "xdp", 64 }, { "xdp", 200 }, { "tc", 64 } } do
    local kind, count = case[1], case[2]
    it(("runs %d %s members with a counter map and globals each"):format(count, kind), function()
      local members = own_members(kind, count, kind == "xdp" and PASS or 0)
      local places = places_of(members, assert(verdict.encode(kind)))
      local build <close> = assert(engine.build({ type = kind }, places))
      assert.is_true(build.segments > 1)
      for _ = 1, 3 do
        assert.equal(kind == "xdp" and PASS or 0xffffffff, (support.run(build.program)))
      end
      for _, member in ipairs(members) do assert.equal(3, member:runs()) end
      local counters = assert(chain.counters(build))
      assert.equal(3, counters.ended)
      assert.same({ stops = 0, runs = 3 }, counters[1])
      assert.same({ stops = 0, runs = 3 }, counters[count])
      -- and stops in the middle of a later segment
      members[count - 2]:choose(kind == "xdp" and DROP or 2)
      assert.equal(kind == "xdp" and DROP or 2, (support.run(build.program)))
      counters = assert(chain.counters(build))
      assert.same({ stops = 1, runs = 4 }, counters[count - 2])
      assert.same({ stops = 0, runs = 3 }, counters[count - 1])
      close_all(members)
    end)
  end

  fuse:keeps_promises(false)

  it("calls members that tail-call or use LD_ABS in their body, and inlines the others", function()
    local members = {}
    for position, name in ipairs { "plain", "tail_hit", "load_outside", "tail_below", "loop" } do
      members[position] = support.member("tc", "chain_tc", name)
    end
    local build <close> = assert(engine.build(TC, places_of(members, 0x2)))
    assert.same({ false, true, true, false, false }, build.called)
    assert.same({ "tail_hit", "tail_below" }, build.tail_callers)
    close_all(members)
  end)

  it("calls a member that the verifier refuses inlined", function()
    local spill <close> = support.member("xdp", "chain_xdp", "spill")
    local stale <close> = support.member("xdp", "chain_xdp", "stale_stack")
    spill:choose(PASS)
    stale:choose(DROP)
    local build <close> = assert(engine.build(XDP, { spill:with(ALL), stale:with(0) }))
    assert.same({ false, true }, build.called)
    assert.equal(DROP, (support.run(build.program)))
  end)

  it("is cut between licences", function()
    local gpl <close> = support.member("xdp", "chain_xdp", "count")
    local other <close> = support.member("xdp", "chain_licence", "proprietary")
    gpl:choose(PASS)
    other:choose(PASS)
    local build <close> = assert(engine.build(XDP,
      { gpl:with(ALL), other:with(ALL), gpl:with(ALL) }))
    assert.equal(3, build.segments)
    assert.equal(PASS, (support.run(build.program)))
    assert.equal(1, other:runs())
    assert.equal(2, gpl:runs())
  end)

  it("is cut where the verifier's million would be passed", function()
    local heavy <close> = support.member("xdp", "chain_heavy", "heavy")
    local places = {}
    for position = 1, 5 do places[position] = heavy:with(ALL) end
    local build <close> = assert(engine.build(XDP, places))
    assert.equal(2, build.segments)
    assert.equal(PASS, (support.run(build.program)))
    assert.equal(1, chain.counters(build).ended)
  end)

  it("never skips a segment, though members may have spent a packet's tail calls", function()
    local jumper <close> = support.member("xdp", "chain_xdp", "tail_below")
    local other <close> = support.member("xdp", "chain_licence", "proprietary")
    jumper:choose(PASS, PASS)
    other:choose(PASS)
    local places = {}
    for position = 1, 33 do places[position] = jumper:with(ALL) end
    places[34] = other:with(ALL)
    local build <close> = assert(engine.build(XDP, places))
    -- one budget for the whole chain since 6.11, before that one for each call
    local found, counters = support.run(build.program), assert(chain.counters(build))
    if found == ABORTED then
      assert.same({ 0, 1, 0 }, { other:runs(), counters.failed, counters.ended })
    else
      assert.same({ PASS, 1, 0, 1 }, { found, other:runs(), counters.failed, counters.ended })
    end
  end)

  it("takes an object without BTF", function()
    local member <close> = support.member("xdp", "chain_no_btf", "bare")
    local build <close> = assert(engine.build(XDP, { member:with(ALL), member:with(ALL) }))
    assert.equal(PASS, (support.run(build.program)))
  end)
end)

describe("the fuse engine refuses", function()
  local function refused(...) fuse:assert_refused(XDP, ...) end

  it("fragments with a program array beside a member without fragments, naming both", function()
    local frags <close> = support.member("xdp", "chain_xdp", "frags_tail")
    local plain <close> = support.member("xdp", "chain_xdp", "count")
    refused({ frags:with(ALL), plain:with(ALL) }, "EOPNOTSUPP", "frags_tail", "count")
    -- alone it is fine
    local build <close> = assert(engine.build(XDP, { frags:with(ALL), frags:with(ALL) }))
    frags:choose(PASS, PASS)
    assert.equal(PASS, (support.run(build.program)))
  end)

  it("a member that can be neither inlined nor called, with log and advice", function()
    local member <close> = support.member("xdp", "chain_heavy", "frames_and_jump")
    local other <close> = support.member("xdp", "chain_xdp", "count")
    local build, err = engine.build(XDP, { other:with(ALL), member:with(ALL) })
    if build then
      build:close()
      return pending "this kernel has more than eight frames"
    end
    assert.matches("frames_and_jump", err.message, 1, true)
    assert.matches("frames", err.log, 1, true)
    assert.matches("freplace", err.advice, 1, true)
  end)

  it("a chain of more programs than a packet has tail calls", function()
    local gpl <close> = fuse:fixed("xdp", PASS)
    local other <close> = support.member("xdp", "chain_licence", "proprietary")
    local places = {}
    for position = 1, 35 do places[position] = (position % 2 == 0 and gpl or other):with(ALL) end
    refused(places, "E2BIG", "tail calls")
  end)

  it("a member that would end the whole chain", function()
    local ok, err = pcall(support.member, "xdp", "chain_throw", "throw")
    assert.is_false(ok)
    if not tostring(err):find "fused" then return pending "this kernel has no bpf_throw" end
    assert.matches("throw cannot be part of a fused chain", tostring(err), 1, true)
    assert.matches("bpf_throw", tostring(err), 1, true)
  end)

  it("a program for a device map", function()
    local ok, err = pcall(support.member, "xdp", "chain_xdp", "for_devmap")
    assert.is_false(ok)
    assert.matches("devmap", tostring(err), 1, true)
  end)

  it("a member of another type, a mask without meaning, and an empty chain", function()
    local tc <close> = support.member("tc", "chain_tc", "count")
    local xdp <close> = support.member("xdp", "chain_xdp", "count")
    refused({ tc:with(0) }, "EINVAL", "count is not a program for XDP")
    refused({ xdp:with(0x100) }, "EINVAL", "count")
    refused({}, "EINVAL", "without members")
  end)

  it("a chain that lacks a member's map", function()
    local xdp <close> = support.member("xdp", "chain_xdp", "count")
    local place = xdp:with(ALL)
    place.maps = {}
    refused({ place }, "ENOENT", "was not given")
  end)

  it("records that are cut off, longer, of another version, or damaged", function()
    local xdp <close> = support.member("xdp", "chain_xdp", "globals")
    local place = xdp:with(ALL)
    local whole = xdp.record
    for _, damaged in ipairs {
      "", "bpfdfuse", whole:sub(1, -2), whole .. "\0", whole:sub(1, 8) .. "\9" .. whole:sub(10),
    } do
      place.record = damaged
      refused({ place }, "EINVAL", "record")
    end
  end)

  it("whatever a record with flipped bits says, without harm", function()
    local xdp <close> = support.member("xdp", "chain_xdp", "statics")
    local place = xdp:with(ALL)
    math.randomseed(7)
    for _ = 1, 400 do
      local at = math.random(9, #xdp.record)
      local byte = xdp.record:byte(at) ~ (1 << math.random(0, 7))
      place.record = xdp.record:sub(1, at - 1) .. string.char(byte) .. xdp.record:sub(at + 1)
      local build = engine.build(XDP, { place })
      if build then build:close() end
    end
  end)
end)
