-- The freplace engine in chosen situations; where the kernel refuses extension programs, how it
-- says so. Random chains are in chain_model_spec.lua.
local bpf = require "bpf"
local chain = require "bpf.chain"
local chain_engine = require "spec.support.chain_engine"
local support = require "spec.support.chain"
local verdict = require "bpf.verdict"

local freplace <const> = chain_engine.new "freplace"
local engine <const> = freplace.engine
local XDP <const> = { type = "xdp" }
local ALL <const> = assert(verdict.encode("xdp", verdict.values "xdp"))
local PASS <const>, DROP <const> = 2, 1
local RETURN_BIT <const> = 1 << 31

local is_available, refusal = engine.available "xdp"

if not is_available then
  describe("a kernel that refuses extension programs", function()
    local function check(err)
      assert.equal("EPERM", err.code)
      assert.matches("this kernel refuses extension (freplace) programs: BPF_PROG_LOAD says EPERM",
        err.message, 1, true)
      assert.equal('use engine = "fuse"', err.advice)
    end

    it("is found out by trying, for XDP and for TC", function()
      check(refusal)
      check(select(2, engine.available "tc"))
    end)

    it("prepares no member, for the same reason", function()
      local ok, err = pcall(support.member, "xdp", "chain_xdp", "count", nil, nil, "freplace")
      assert.is_false(ok)
      check(err)
    end)
  end)

  describe("the freplace engine", function()
    it("does what this file says of it", function() pending(refusal.message) end)
  end)
  return
end

---What libxdp reads out of a dispatcher.
local function read_config(program)
  local info = assert(program:info())
  assert.equal(1, #info.map_ids)
  local map <close> = assert(bpf.map.open_id(info.map_ids[1]))
  local bytes = assert(map:lookup(("\0"):rep(4)))
  local config = { size = #bytes, map = assert(map:info()), masks = {}, priorities = {},
    flags = {} }
  config.magic, config.version, config.used, config.has_frags = ("BBBB"):unpack(bytes)
  for slot = 1, 10 do
    config.masks[slot], config.priorities[slot], config.flags[slot] =
      ("I4"):unpack(bytes, 1 + slot * 4), ("I4"):unpack(bytes, 41 + slot * 4),
      ("I4"):unpack(bytes, 81 + slot * 4)
  end
  return config
end

describe("a chain of extension programs", function()
  freplace:keeps_promises(true)

  it("shares its members with other chains, verified once", function()
    local first <close> = freplace:member("xdp", "count")
    local second <close> = freplace:member("xdp", "statics")
    local id = assert(first.program:info()).id
    first:choose(PASS)
    second:choose(DROP)
    local both <close> = assert(engine.build(XDP, { first:with(ALL), second:with(0) }))
    local alone <close> = assert(engine.build(XDP, { first:with(ALL) }))
    assert.equal(DROP, (support.run(both.program)))
    assert.equal(PASS, (support.run(alone.program)))
    both:close()
    assert.equal(PASS, (support.run(alone.program)))
    assert.equal(3, first:runs())
    assert.equal(id, assert(first.program:info()).id)
  end)

  it("runs members that change packets", function()
    local members, places = {}, {}
    for position, name in ipairs { "head", "tail", "head", "count" } do
      members[position] = freplace:member("xdp", name)
      members[position]:choose(PASS)
      places[position] = members[position]:with(ALL)
    end
    local build <close> = assert(engine.build(XDP, places))
    assert.equal(PASS, (support.run(build.program)))
    assert.equal(1, members[4]:runs())
    for _, member in ipairs(members) do member:close() end
  end)

  it("runs ten members, and says that it cannot run eleven", function()
    local member <close> = freplace:member("xdp", "count")
    member:choose(PASS)
    local places = {}
    for position = 1, 10 do places[position] = member:with(ALL) end
    local build <close> = assert(engine.build(XDP, places))
    assert.equal(PASS, (support.run(build.program)))
    assert.equal(10, member:runs())
    places[11] = member:with(ALL)
    local none, err = engine.build(XDP, places)
    assert.is_nil(none)
    assert.equal("E2BIG", err.code)
    assert.equal("11 members are more than the freplace engine's limit of 10 on one hook",
      err.message)
    assert.matches("fuse", err.advice, 1, true)
  end)

  it("lets packets by where a slot has lost its member", function()
    local first <close> = freplace:fixed("xdp", DROP)
    local last <close> = freplace:fixed("xdp", 4)
    local build <close> = assert(engine.build(XDP, { first:with(0), last:with(0) }))
    assert.equal(DROP, (support.run(build.program)))
    build.links[1]:close()
    assert.equal(4, (support.run(build.program)))
  end)

  it("says that it counts nothing", function()
    local member <close> = freplace:member("xdp", "count")
    local build <close> = assert(engine.build(XDP, { member:with(ALL) }))
    local counters, err = chain.counters(build)
    assert.is_nil(counters)
    assert.equal("EOPNOTSUPP", err.code)
  end)
end)

describe("a dispatcher", function()
  it("is what libxdp knows as its own, version 2", function()
    local member <close> = freplace:member("xdp", "count")
    local first, second = member:with(1 << PASS), member:with(0)
    first.priority, second.priority = 20, 70
    local build <close> = assert(engine.build(XDP, { first, second }))
    assert.equal("xdp_dispatcher", assert(build.program:info()).name)
    assert.truthy(assert(build.program:info()).btf_id)
    local config = read_config(build.program)
    assert.same({ 124, 236, 2, 2, 0 },
      { config.size, config.magic, config.version, config.used, config.has_frags })
    assert.same({ RETURN_BIT | 1 << PASS, RETURN_BIT }, { table.unpack(config.masks, 1, 2) })
    assert.same({ 20, 70, 0 }, { table.unpack(config.priorities, 1, 3) })
    assert.equal("xdp_disp.rodata", config.map.name)
    assert.equal(1, config.map.max_entries)
    assert.equal(0x80, config.map.flags & 0x80) -- BPF_F_RDONLY_PROG
  end)

  it("takes fragments only if every member does", function()
    local frags <close> = freplace:member("xdp", "frags")
    local plain <close> = freplace:member("xdp", "count")
    local both <close> = assert(engine.build(XDP, { frags:with(ALL), plain:with(ALL) }))
    local all <close> = assert(engine.build(XDP, { frags:with(ALL), frags:with(ALL) }))
    local mixed, whole = read_config(both.program), read_config(all.program)
    assert.same({ 0, 32, 0 }, { mixed.has_frags, mixed.flags[1], mixed.flags[2] })
    assert.same({ 1, 32, 32 }, { whole.has_frags, whole.flags[1], whole.flags[2] })
  end)
end)

describe("the freplace engine refuses", function()
  local function refused(...) freplace:assert_refused(...) end

  it("an empty chain, and a mask without meaning", function()
    local member <close> = freplace:member("xdp", "count")
    refused(XDP, {}, "EINVAL", "without members")
    refused(XDP, { member:with(0x100) }, "EINVAL", "count", "0x100")
  end)

  it("a member of another hook, before and after it is loaded", function()
    local tc <close> = freplace:member("tc", "count")
    refused(XDP, { tc:with(0) }, "EINVAL", "position 0")
    local object <close> = assert(bpf.object.open(support.path "chain_tc"))
    local ok, err = engine.prepare(object, "count", XDP)
    assert.is_nil(ok)
    assert.matches("count is a tc program", err.message, 1, true)
  end)

  it("records that are cut off, of another engine, or of another version", function()
    local member <close> = freplace:member("xdp", "count")
    local place, whole = member:with(ALL), member.record
    assert.equal("", engine.note(whole))
    for _, damaged in ipairs { "", "bpfdfrep", "bpfdfuse" .. whole:sub(9), whole:sub(1, -2),
      whole:sub(1, 8) .. "\9" .. whole:sub(10) } do
      place.record = damaged
      refused(XDP, { place }, "EINVAL", "record")
    end
  end)

  it("an object without types, saying what to do", function()
    local ok, err = pcall(support.member, "xdp", "chain_no_btf", "bare", nil, nil, "freplace")
    assert.is_false(ok)
    assert.matches("BTF", err.message, 1, true)
    assert.matches("fuse", err.advice, 1, true)
  end)
end)
