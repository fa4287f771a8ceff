-- Types of BTF as Lua values and texts, and back to the same bytes.
local bpf = require "bpf"
local literal = require "bpf.literal"

local OBJECT <const> = os.getenv "BUILD" .. "/objects/map_types.o"

-- Bits of struct everything that no member has, counted in spec/objects/map_types.bpf.c by hand.
local PADDING_BITS <const> = 16 + 32 + 32 + 56 + 2 * 56 + 5 + 3 + 10 + 44 + 64

local function layout_of(name, options)
  local object <close> = assert(bpf.object.open(OBJECT))
  local types = assert(bpf.btf.open(object:btf_bytes()))
  return bpf.layout.of(types, assert(types:named(name)), options), types
end

-- For what this clang does not write, and what no compiler would.
local function made_by_hand(body, strings)
  return bpf.btf.open(("=I2BB I4I4I4I4I4"):pack(0xeb9f, 1, 0, 24, 0, #body, #body, #strings)
    .. body .. strings)
end

local function random_bytes(size)
  local bytes = {}
  for i = 1, size do bytes[i] = string.char(math.random(0, 255)) end
  return table.concat(bytes)
end

local function bytes_and(left, right)
  local result = {}
  for i = 1, #left do result[i] = string.char(left:byte(i) & right:byte(i)) end
  return table.concat(result)
end

describe("the layout of a type", function()
  local everything = layout_of "everything"
  local json = bpf.layout.drawing(everything, "json")
  local text = bpf.layout.drawing(everything, "literal")

  for _, case in ipairs {
    -- member, written, read, drawn as JSON, drawn for people
    { "u8", 255, 255, "255" }, { "s8", -128, -128, "-128" },
    { "u16", "0xffff", 65535, "65535" }, { "s16", "-32768", -32768, "-32768" },
    { "u32", 4294967295, 4294967295, "4294967295" },
    { "u32", "10.0.0.1", (("=I4"):unpack "\10\0\0\1") },
    { "s32", -2147483648, -2147483648, "-2147483648" },
    { "u64", "18446744073709551615", -1, "18446744073709551615" },
    { "u64", -1, -1, "18446744073709551615" }, { "u64", 1 << 63, 1 << 63, "9223372036854775808" },
    { "u64", bpf.json.unsigned(-2), -2, "18446744073709551614" },
    { "s64", math.mininteger, math.mininteger, "-9223372036854775808" },
    { "s64", "-9223372036854775808", math.mininteger, "-9223372036854775808" },
    { "i128", "-1", "0x" .. ("f"):rep(32), '"0x' .. ("f"):rep(32) .. '"', "0x" .. ("f"):rep(32) },
    { "u128", "0x123", "0x" .. ("0"):rep(29) .. "123" },
    { "flag", true, true, "true" }, { "flag", "false", false, "false" }, { "flag", 2, 2, "2" },
    { "letter", 65, 65, "65" },
    { "name", "eth0", "eth0", '"eth0"' }, { "name", "", "", '""' },
    { "name", ("x"):rep(16), ("x"):rep(16), '"' .. ("x"):rep(16) .. '"' },
    { "name", 'a"\\\n', 'a"\\\n', [["a\"\\\u000a"]] }, { "name", "\u{e4}", "\u{e4}", '"\u{e4}"' },
    { "name", "a\0b", "a\0b", "[97,0,98]" }, { "name", "\xff", "\xff", "[255]" },
    { "name", { 104, "105", -1 }, "hi\xff", "[104,105,255]" },
    { "bytes", { 1, 2 }, { 1, 2, 0, 0, 0, 0 }, "[1,2,0,0,0,0]", "[1, 2, 0, 0, 0, 0]" },
    { "f32", 1.5, 1.5, "1.5" }, { "f32", "0.1", (("=f"):unpack(("=f"):pack(0.1))), "0.1" },
    { "f64", 0.1, 0.1, "0.1" }, { "f64", 1 / 3, 1 / 3, "0.3333333333333333" },
    { "f64", "-inf", -math.huge, '"-inf"', "-inf" },
    { "f32", "nan(0x7fa00000)", "nan(0x7fa00000)", '"nan(0x7fa00000)"', "nan(0x7fa00000)" },
    { "pointer", "0xffff888000000000", 0xffff888000000000, "18446612682070032384",
      "0xffff888000000000" },
    { "typed", 7, 7, "7" },
    { "colour", "GREEN", "GREEN", '"GREEN"', "GREEN" }, { "colour", 5, 5, "5" },
    { "colour", "BLUE", "BLUE", '"BLUE"', "BLUE" }, { "colour", 7, "GREEN", '"GREEN"', "GREEN" },
    { "level", "LOW", "LOW", '"LOW"', "LOW" },
    { "wide", -1, -1, "18446744073709551615" },
    { "inner", { little = -1, big = 1 }, { little = -1, big = 1 }, '{"little":-1,"big":1}',
      "{little: -1, big: 1}" },
    { "grid", { { 1, 2, 3 }, { 4 } }, { { 1, 2, 3 }, { 4, 0, 0 } }, "[[1,2,3],[4,0,0]]",
      "[[1, 2, 3], [4, 0, 0]]" },
    { "whole", 0x00020001, 0x00020001 }, { "halves", { 1, 2 }, { 1, 2 }, "[1,2]", "[1, 2]" },
    { "hidden", 1, 1, "1" }, { "deeper", 2, 2, "2" },
    { "named", { raw = 3 }, { raw = 3, yes = 3 }, '{"yes":3,"raw":3}', "{yes: 3, raw: 3}" },
    { "low", 7, 7, "7" }, { "middle", 2047, 2047, "2047" },
    { "high", (1 << 18) - 1, (1 << 18) - 1 },
    { "minus", -16, -16, "-16" }, { "bit", true, true, "true" },
    { "tint", "GREEN", "GREEN", '"GREEN"', "GREEN" },
    { "across", (1 << 40) - 1, (1 << 40) - 1, "1099511627775" }, { "rest", 1, 1, "1" },
  } do
    local member, written, read, as_json, as_text = table.unpack(case)
    it(("takes %s = %s and gives it back"):format(member, tostring(written)), function()
      local bytes = everything.write { [member] = written }
      assert.same(read, everything.read(bytes)[member])
      assert.equal(everything.size, #bytes)
      local function shows(drawn, form, wanted)
        assert.is_truthy(drawn:find(form:format(member, wanted), 1, true), drawn)
      end
      if as_json then
        shows(json(bytes, 0), '"%s":%s', as_json)
        shows(text(bytes, 0), "%s: %s", as_text or as_json)
      end
    end)
  end

  for _, case in ipairs {
    { "u8", 256, "u8: 256 does not fit 1 bytes without sign" },
    { "u8", -1, "u8: %-1 does not fit" }, { "s8", 128, "s8: 128 does not fit 1 bytes$" },
    { "u64", "-1", "u64: %-1 does not fit 8 bytes without sign" },
    { "u64", "18446744073709551616", "does not fit 8 bytes" },
    { "s64", "9223372036854775808", "does not fit 8 bytes" },
    { "u32", "10.0.0.256", "an integer is needed, not 10.0.0.256" }, { "u16", 1.5, "an integer" },
    { "u128", "-1", "128 bits" }, { "u128", "0x" .. ("f"):rep(33), "128 bits" },
    { "flag", "yes", "true or false is needed" }, { "flag", 256, "true or false" },
    { "name", ("x"):rep(17), "at most 16 bytes fit" }, { "name", { 256 }, "256 is no byte" },
    { "bytes", { 1, 2, 3, 4, 5, 6, 7 }, "at most 6 elements fit" },
    { "bytes", { 1, 256 }, "bytes%[2%]: 256 does not fit" },
    { "bytes", { [1] = 1, [3] = 3 }, "a list has no element 3" },
    { "bytes", 5, "a list is needed" },
    { "f32", "1e300", "1e300 does not fit 4 bytes" }, { "f64", "much", "a number is needed" },
    { "colour", "GREN", "there is no GREN; did you mean GREEN" },
    { "inner", { litle = 1 }, "inner: there is no member litle; did you mean little" },
    { "inner", { big = {} }, "inner%.big: an integer is needed" },
    { "low", 8, "low: 8 does not fit 3 bits" }, { "minus", -17, "%-17 does not fit 5 bits" },
    { "across", 1 << 40, "does not fit 40 bits" }, { "colours", 1, "no member colours" },
  } do
    it(("refuses %s = %s"):format(case[1], tostring(case[2])), function()
      local ok, message = pcall(everything.write, { [case[1]] = case[2] })
      assert.is_false(ok)
      assert.matches(case[3], message)
    end)
  end

  it("gives every byte back that a member has, whatever stands there", function()
    local mask = everything.write(everything.read(("\xff"):rep(everything.size)))
    local missing = 0
    for byte in mask:gmatch "." do
      for bit = 0, 7 do missing = missing + (1 - (byte:byte() >> bit & 1)) end
    end
    assert.equal(PADDING_BITS, missing)
    for _ = 1, 300 do
      local bytes = bytes_and(random_bytes(everything.size), mask)
      assert.equal(bytes, everything.write(everything.read(bytes)))
      assert.equal(bytes, everything.write((literal.read(json(bytes, 0)))))
      assert.equal(bytes, everything.write((literal.read(text(bytes, 0)))))
      assert(bpf.json.decode(json(bytes, 0)))
    end
  end)

  -- clang tells of 64 bits since version 15 only, so this BTF is made by hand.
  it("has the names of enums of 64 bits, with and without sign", function()
    local strings <const> = "\0far\0FAR_NONE\0FAR_TOP\0"
    local function enum64(is_signed)
      return ("=I4I4I4 I4I4I4 I4I4I4"):pack(1, (is_signed and 1 << 31 or 0) | 19 << 24 | 2, 8,
        5, 0, 0, 14, 0x76543210, 0xfedcba98)
    end
    local body <const> = enum64(false) .. enum64(true)
    local types <close> = assert(made_by_hand(body, strings))
    for id, other in ipairs { "18446744073709551615", "-1" } do
      local far = bpf.layout.of(types, id)
      local drawn = bpf.layout.drawing(far, "json")
      assert.equal(("=I8"):pack(0xfedcba9876543210), far.write "FAR_TOP")
      assert.equal("FAR_TOP", far.read(far.write "FAR_TOP"))
      assert.equal('"FAR_TOP"', drawn(far.write "FAR_TOP"))
      assert.equal(other, drawn(far.write(-1)))
      assert.equal(other, drawn(far.write(other)))
    end
    assert.is_false(pcall(bpf.layout.of(types, 1).write, "-1"))
  end)

  -- struct { __int128 low : 5; unsigned __int128 high : 64; }, as clang lays it out
  it("has bit-fields of numbers of 128 bits", function()
    local strings <const> = "\0low\0high\0"
    local body <const> = ("=I4I4I4I4 I4I4I4I4 I4I4I4 I4I4I4 I4I4I4"):pack(1, 1 << 24, 16,
      1 << 24 | 128, 1, 1 << 24, 16, 128, 0, 1 << 31 | 4 << 24 | 2, 16, 1, 1, 5 << 24, 5, 2,
      64 << 24 | 5)
    local types <close> = assert(made_by_hand(body, strings))
    local pair = bpf.layout.of(types, 3)
    local bytes <const> = pair.write { low = -3, high = "18446744073709551615" }
    assert.same({ low = -3, high = -1 }, pair.read(bytes))
    assert.equal('{"low":-3,"high":18446744073709551615}', bpf.layout.drawing(pair, "json")(bytes))
    assert.is_false(pcall(pair.write, { low = 16 }))
  end)

  it("has booleans of 128 bits as the numbers that they are", function()
    local strings <const> = "\0truth\0"
    local body <const> = ("=I4I4I4I4"):pack(1, 1 << 24, 16, 4 << 24 | 128)
    local types <close> = assert(made_by_hand(body, strings))
    local truth = bpf.layout.of(types, 1)
    assert.equal('"0x00000000000000000000000000000001"',
      bpf.layout.drawing(truth, "json")(truth.write(1)))
  end)

  describe("from bytes that no kernel would take", function()
    local INT <const>, ARRAY <const>, STRUCT <const>, TYPEDEF <const>, DATASEC <const> =
      1 << 24, 3 << 24, 4 << 24, 8 << 24, 15 << 24
    local strings <const> = "\0name\0"
    local function table_of(...)
      local body = table.concat { ... }
      return made_by_hand(body, strings)
    end
    local function words(...) return ("=" .. ("I4"):rep(select("#", ...))):pack(...) end
    local int <const> = words(1, INT, 4, 32) -- type 1 of each table
    local bit_fields <const> = 1 << 31

    it("is none, and what differs only there is one", function()
      for what, types in pairs {
        ["a struct"] = { words(1, STRUCT | 1, 4, 1, 1, 0) },
        ["bits"] = { words(1, STRUCT | 1 | bit_fields, 4, 1, 1, 7 << 24 | 25) },
        ["an array"] = { words(0, ARRAY, 0, 1, 1, 1 << 29) },
        ["a section"] = { words(1, 14 << 24, 1, 0), words(1, DATASEC | 1, 4, 2, 0, 4) },
      } do
        local sound <close> = table_of(int, table.unpack(types))
        assert.is_truthy(sound, what)
        bpf.layout.of(sound, 2)
      end
    end)

    for what, types in pairs {
      ["a member behind its struct's end"] = { words(1, STRUCT | 1, 4, 1, 1, 8) },
      ["bits behind their struct's end"] =
        { words(1, STRUCT | 1 | bit_fields, 4, 1, 1, 7 << 24 | 26) },
      ["more bits than their type has"] =
        { words(1, STRUCT | 1 | bit_fields, 8, 1, 1, 33 << 24) },
      ["bits of a struct"] = { words(1, STRUCT | 1, 4, 1, 1, 0),
        words(1, STRUCT | 1 | bit_fields, 4, 1, 2, 7 << 24) },
      ["a number of a size that there is not"] = { words(1, INT, 1 << 31, 32) },
      ["a struct in itself"] = { words(1, STRUCT | 1, 4, 1, 2, 0) },
      ["an array of itself"] = { words(0, ARRAY, 0, 2, 1, 1) },
      ["an array of more bytes than there are"] = { words(0, ARRAY, 0, 1, 1, 1 << 30) },
      ["a variable behind its section's end"] =
        { words(1, 14 << 24, 1, 0), words(1, DATASEC | 1, 4, 2, 1, 4) },
      ["typedefs in a ring"] = { words(1, TYPEDEF, 3), words(1, TYPEDEF, 2) },
      ["a name that is none"] = { words(99, STRUCT, 0) },
    } do
      it("is refused: " .. what, function()
        local opened, err = table_of(int, table.unpack(types))
        assert.is_nil(opened)
        assert.equal("ENOEXEC", err.code)
        assert.equal("that is no BTF, or damaged", err.message)
      end)
    end
  end)

  it("cuts texts at their first zero where nothing is written back", function()
    local event = layout_of("event", { cut = true })
    local bytes = ("=I4c12I8"):pack(1, "hello\0\0x", 2)
    assert.equal("hello", event.read(bytes).name)
    assert.equal('{"number":1,"name":"hello","stamp":2}', bpf.layout.drawing(event, "json")(bytes))
    assert.equal("hello\0\0x", layout_of("event").read(bytes).name)
  end)

  it("is found by its name, with the word before it or without", function()
    local _, types = layout_of "event"
    assert.equal(types:named "event", types:named "struct event")
    local id, err = types:named "evnt"
    assert.is_nil(id)
    assert.equal("there is no type evnt in the BTF", err.message)
    assert.equal("did you mean event?", err.advice)
  end)

  it("reads no byte behind the end", function()
    assert.has_error(function() json(("\0"):rep(everything.size // 2), 0) end)
    assert.has_error(function() json(("\0"):rep(everything.size), everything.size // 2) end)
    assert.has_error(function() json(("\0"):rep(everything.size), -1) end)
  end)
end)

describe("a format", function()
  for _, case in ipairs {
    { "u32", 4, "7", 7, "7" }, { "be16", 2, "80", 80, "80", "\0\80" },
    { "be32", 4, "1", 1, "1", "\0\0\0\1" }, { "ip4", 4, "10.0.0.1", "10.0.0.1", '"10.0.0.1"' },
    { "mac", 6, "02:00:00:00:00:Ff", "02:00:00:00:00:ff", '"02:00:00:00:00:ff"' },
    { "hex", 3, "0x0a0B0c", "0x0a0b0c", '"0x0a0b0c"', "\10\11\12" },
    { "char", 4, "ab", "ab", '"ab"' },
    { "u16[2]", 4, { 1, 2 }, { 1, 2 }, "[1,2]" }, { "bool", 1, "true", true, "true" },
    { "f32", 4, "0.5", 0.5, "0.5" }, { "i8", 1, "-1", -1, "-1" },
    { "ip:ip4 port:be16 pad[2]", 8, { ip = "1.2.3.4", port = "258" },
      { ip = "1.2.3.4", port = 258 }, '{"ip":"1.2.3.4","port":258}', "\1\2\3\4\1\2\0\0" },
    { "a:u8,b:char[3]", 4, { a = 1, b = "xy" }, { a = 1, b = "xy" }, '{"a":1,"b":"xy"}' },
  } do
    local format, size, written, read, json, bytes = table.unpack(case)
    it(format .. " reads, writes and draws", function()
      local layout = assert(bpf.layout.format(format, size))
      local packed = layout.write(written)
      if bytes then assert.equal(bytes, packed) end
      assert.same(read, layout.read(packed))
      assert.equal(json, bpf.layout.drawing(layout, "json")(packed))
    end)
  end

  it("writes IPv6 addresses as RFC 5952 wants them", function()
    local layout = bpf.layout.format("ip6", 16)
    for given, wanted in pairs {
      ["::"] = "::", ["::1"] = "::1", ["FD00:0::0001"] = "fd00::1", ["1:0:0:2::3"] = "1:0:0:2::3",
      ["::ffff:10.0.0.1"] = "::ffff:10.0.0.1", ["1:2:3:4:5:6:7:8"] = "1:2:3:4:5:6:7:8",
      ["2001:db8:0:1:1:1:1:1"] = "2001:db8:0:1:1:1:1:1", ["1::"] = "1::",
    } do
      assert.equal(wanted, layout.read(layout.write(given)))
    end
    for _, bad in ipairs { ":", "1:2", "1::2::3", "12345::", "::10.0.0", "1:2:3:4:5:6:7:8:9" } do
      assert.is_false(pcall(layout.write, bad), bad)
    end
  end)

  for format, why in pairs {
    [""] = "it must read as NAME:TYPE", ["a:u32 b"] = "no type b", ["u33"] = "did you mean u3",
    ["u16"] = "it describes 2 bytes, and there are 4", ["a:u16 a:u16"] = "a stands there twice",
    ["u16 u16"] = "u16 needs a name: NAME:u16", ["a:char b:u8"] = "char needs its bytes",
    ["u8[0]"] = "%[0%] is no count", ["u64[99999999999999999999]"] = "is no count",
    ["a:u32;"] = "it must read as", ["pad[3]"] = "describes 3 bytes",
  } do
    it(("'%s' is refused"):format(format), function()
      local layout, err = bpf.layout.format(format, 4)
      assert.is_nil(layout)
      assert.matches(why, err.message)
    end)
  end
end)

describe("a value that somebody typed", function()
  for text, value in pairs {
    ["7"] = "7", ["-1"] = "-1", ["eth0"] = "eth0", ['"a b"'] = "a b", ['"\\u0041"'] = "A",
    ["[1, 2]"] = { "1", "2" }, ["{1; 2}"] = { "1", "2" }, ["[]"] = {}, ["{}"] = {},
    ['{"a": 1}'] = { a = "1" },
    ["{ a = 1, b: [2, {c: x}], }"] = { a = "1", b = { "2", { c = "x" } } },
    ["{mac: 02:00:00:00:00:01}"] = { mac = "02:00:00:00:00:01" }, [" [ 1 ] "] = { "1" },
  } do
    it("can be " .. text, function() assert.same(value, (literal.read(text))) end)
  end

  for _, text in ipairs { "[1", "{a:1 b:2}", '"x', "[1]]", "{a:{}", ("["):rep(100000) } do
    it("cannot be " .. text:sub(1, 20), function()
      local value, err = literal.read(text)
      assert.is_nil(value)
      assert.matches("cannot be read", err.message)
    end)
  end
end)
