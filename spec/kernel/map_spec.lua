require "spec.support.root"

local bpf = require "bpf"

local path <const> = os.getenv "BUILD" .. "/objects/handles_counter.o"

local function u32(number) return ("=I4"):pack(number) end

local function hash(max_entries)
  return assert(bpf.map.create { type = "hash", name = "spec", key_size = 4, value_size = 8,
    max_entries = max_entries })
end

local function counter()
  local object = assert(bpf.object.open(path))
  assert(object:choose "count")
  assert(object:load())
  return object
end

describe("a map", function()
  it("looks up, updates and deletes byte strings", function()
    local map <close> = hash(4)
    assert.is_nil(map:lookup(u32(1)))
    assert.is_true(map:update(u32(1), "abcdefgh"))
    assert.equal("abcdefgh", map:lookup(u32(1)))
    assert.is_true(map:update(u32(1), "ABCDEFGH", "existing"))
    local ok, err = map:update(u32(1), "abcdefgh", "new")
    assert.is_nil(ok)
    assert.equal("EEXIST", err.code)
    assert.is_true(map:delete(u32(1)))
    assert.is_false(map:delete(u32(1)))
    assert.has_error(function() map:lookup "x" end)
    assert.has_error(function() map:update(u32(1), "short") end)
  end)

  it("is walked whole, in batches and without", function()
    for _, type in ipairs { "hash", "array", "lpm_trie" } do
      local is_trie <const> = type == "lpm_trie"
      local map <close> = assert(bpf.map.create { type = type, key_size = is_trie and 8 or 4,
        value_size = 8, max_entries = 5000, flags = is_trie and 1 or 0 })
      for i = 0, 4999 do
        local key = is_trie and u32(32) .. (">I4"):pack(i) or u32(i)
        assert(map:update(key, ("=I8"):pack(i)))
      end
      local seen, count = {}, 0
      for key, value in map:pairs() do
        local number <const> = ("=I8"):unpack(value)
        assert.is_nil(seen[number])
        seen[number], count = #key, count + 1
      end
      assert.equal(5000, count, type)
    end
  end)

  it("can be empty, left early, and closed while it is walked", function()
    local map = hash(10)
    for _ in map:pairs() do error "there is nothing" end
    for i = 1, 10 do assert(map:update(u32(i), "12345678")) end
    local walked = 0
    for _ in map:pairs() do
      walked = walked + 1
      if walked == 3 then break end
    end
    assert.equal(3, walked)
    assert.has_error(function()
      for _ in map:pairs() do map:close() end
    end)
  end)

  it("has one value per CPU where its type says so", function()
    local object <close> = counter()
    local map = object.maps.per_cpu
    local values = map:lookup(u32(1))
    assert.is_true(#values >= 1)
    for cpu in ipairs(values) do values[cpu] = u32(cpu * 3) end
    assert(map:update(u32(1), values))
    assert.same(values, map:lookup(u32(1)))
    assert(map:update(u32(1), u32(5)))
    for _, value in ipairs(map:lookup(u32(1))) do assert.equal(u32(5), value) end
    values[#values] = nil
    assert.has_error(function() map:update(u32(1), values) end)
  end)

  it("has a list of values where its type says so, also where there is one CPU #smoke", function()
    local map <close> = assert(bpf.map.create { type = "percpu_array", key_size = 4, value_size = 8,
      max_entries = 1 }) -- 8: nothing else than the type tells it from a single value
    assert.same("table", type(map:lookup(u32(0))))
    assert.equal(map:cpu_count(), #map:lookup(u32(0)))
    for _, values in map:pairs() do assert.same("table", type(values)) end
  end)

  it("keeps bytes as a frozen blob, any number of them", function()
    for _, bytes in ipairs { "", "x", ("\0\1\2"):rep(100000) } do
      local map <close> = assert(bpf.map.blob(bytes, "a_name_longer_than_fifteen"))
      assert.equal(bytes, map:blob())
      assert.is_true(map:info().frozen)
      assert.equal("a_name_longer_t", map:info().name)
      local ok, err = map:update(u32(0), (map:lookup(u32(0))))
      assert.is_nil(ok)
      assert.equal("EPERM", err.code)
    end
    local other <close> = hash(1)
    local bytes, err = other:blob()
    assert.is_nil(bytes)
    assert.equal("the map holds no blob", err.message)
  end)

  it("freezes", function()
    local map <close> = assert(bpf.map.create { type = "array", key_size = 4, value_size = 4,
      max_entries = 1 })
    assert.is_false(map:info().frozen)
    assert(map:freeze())
    assert.is_true(map:info().frozen)
  end)

  it("is found by id", function()
    local map <close> = hash(3)
    local again <close> = assert(bpf.map.open_id(map:info().id))
    assert.equal(3, again:info().max_entries)
    assert.equal("spec", again:info().name)
    local none, err = bpf.map.open_id(0xfffffff0)
    assert.is_nil(none)
    assert.equal("ENOENT", err.code)
  end)

  it("is refused with a reason, and misuse raises", function()
    local map, err = bpf.map.create { type = "hash", name = "none", key_size = 0, value_size = 4,
      max_entries = 1 }
    assert.is_nil(map)
    assert.equal("EINVAL", err.code)
    assert.matches("cannot create map none", err.message)
    assert.has_error(function() bpf.map.create { type = "hash", entries = 4 } end)
    assert.has_error(function() bpf.map.create { type = "hush" } end)
  end)
end)

describe("a typed map", function()
  it("reads and writes structs, bit-fields, arrays, unions and enums", function()
    local object <close> = counter()
    local typed = assert(object.maps.tallies:typed())
    local value = {
      packets = -1, balance = -7, low = 5, high = 17, last = { mac = { 1, 2, 3, 4, 5, 6 } },
      whole = 0x01020304, verdict = "VERDICT_YES",
    }
    assert(typed:set({ source = 9 }, value))
    local read = assert(typed:get { source = 9 })
    assert.equal(-1, read.packets)
    assert.equal(-7, read.balance)
    assert.equal(5, read.low)
    assert.equal(17, read.high)
    assert.same({ 1, 2, 3, 4, 5, 6 }, read.last.mac)
    assert.equal(0x01020304, read.whole)
    assert.equal(("=I2"):unpack(("=I4"):pack(0x01020304)), read.halves[1])
    assert.equal("VERDICT_YES", read.verdict)
    assert.same({ source = 9 }, (typed:entries()(select(2, typed:entries()))))
    assert.is_true(typed:delete { source = 9 })
    assert.is_nil(typed:get { source = 9 })
  end)

  it("keeps all 64 bits", function()
    local object <close> = counter()
    local typed = assert(object.maps.tallies:typed())
    for _, number in ipairs { 0, 1, -1, math.maxinteger, math.mininteger, (1 << 53) + 1 } do
      assert(typed:set({ source = 1 }, { packets = number }))
      assert.equal(number, typed:get({ source = 1 }).packets)
    end
  end)

  it("shows a data section as its variables, and what programs do to them", function()
    local object <close> = counter()
    local data = assert(object.maps[".data"]:typed())
    local zero = assert(object.maps[".bss"]:typed())
    assert.equal(1, data:get(0).seen)
    assert.same({ 0, 0, 0, 0 }, zero:get(0).scratch)
    object.programs.count:test_run { data = ("\0"):rep(64), ["repeat"] = 3 }
    assert.equal(4, data:get(0).seen)
    assert.same({ 0, 9, 0, 0 }, zero:get(0).scratch)
  end)

  it("has a table of values for per-CPU maps, and takes the object's own BTF", function()
    local object <close> = counter()
    local types <close> = assert(bpf.btf.open(object:btf_bytes()))
    local typed = assert(object.maps.per_cpu:typed { btf = types })
    local values = typed:get(2)
    for cpu in ipairs(values) do values[cpu] = 100 + cpu end
    assert(typed:set(2, values))
    assert.same(values, typed:get(2))
  end)

  it("refuses what does not fit, naming the member", function()
    local object <close> = counter()
    local typed = assert(object.maps.tallies:typed())
    local function refused(pattern, value, key)
      local ok, message = pcall(typed.set, typed, key or { source = 1 }, value)
      assert.is_false(ok)
      assert.matches(pattern, message)
    end
    refused("high: 32 does not fit 5 bits", { high = 32 })
    refused("no member hight; did you mean high", { hight = 1 })
    refused("verdict: there is no VERDICT_YEP; did you mean VERDICT_YES",
      { verdict = "VERDICT_YEP" })
    refused("balance: 2147483648 does not fit 4 bytes", { balance = 2147483648 })
    refused("last%.mac: at most 6 elements fit", { last = { mac = { 1, 2, 3, 4, 5, 6, 7 } } })
    refused("packets: an integer is needed", { packets = "many" })
    refused("no member sauce; did you mean source", {}, { sauce = 1 })
  end)

  it("says so where nobody told the types", function()
    local map <close> = hash(1)
    local typed, err = map:typed()
    assert.is_nil(typed)
    assert.matches("map spec has no types", err.message)
  end)
end)
