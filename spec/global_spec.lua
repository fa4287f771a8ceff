-- Values of global variables as users write them.
local global = require "bpf.global"

local function refusal(value)
  local bytes, err = global.parse(value)
  assert.is_nil(bytes)
  assert.equal("EINVAL", err.code)
  return err.message
end

describe("a global's value", function()
  it("is bytes in memory order", function()
    assert.equal("\1\2\3\4", (global.parse "01020304"))
    assert.equal("\10\171\205", (global.parse "0AabCD"))
  end)

  it("may be an integer with its width", function()
    assert.equal(("=I4"):pack(10), (global.parse "u32:10"))
    assert.equal(("=i8"):pack(-1), (global.parse "i64:-1"))
    assert.equal("\255", (global.parse "u8:255"))
    assert.equal("\128", (global.parse "i8:-128"))
    assert.equal("\127", (global.parse "i8:127"))
    assert.equal(("=I2"):pack(0xbeef), (global.parse "u16:0xbeef"))
    assert.equal(("\255"):rep(8), (global.parse "u64:18446744073709551615"))
    assert.equal(("\255"):rep(8), (global.parse "u64:0xffffffffffffffff"))
    assert.equal(("=i8"):pack(math.mininteger), (global.parse "i64:-9223372036854775808"))
    assert.equal(("=I4"):pack(7), (global.parse "u32:0000000000000000000000007"))
  end)

  it("may be a text, which is filled up with zeros", function()
    local bytes, is_text = global.parse "str:eth0"
    assert.equal("eth0\0", bytes)
    assert.is_true(is_text)
    assert.equal("eth0\0\0\0\0", global.fit("str:eth0", 8))
    assert.equal("\0\0", global.fit("str:", 2))
    local none, err = global.fit("str:eth0", 4)
    assert.is_nil(none)
    assert.equal("'str:eth0' is 5 bytes, but the variable has 4", err.message)
  end)

  it("is refused with odd digits, out of range, or as nonsense", function()
    assert.equal("'012' has an odd number of hexadecimal digits", refusal "012")
    for _, value in ipairs { "u8:256", "u8:-1", "i8:128", "i8:-129", "i64:9223372036854775808",
      "u64:18446744073709551616", "u64:99999999999999999999", "u64:0x10000000000000000",
      "i64:-9223372036854775809", "u32:4294967296" } do
      assert.matches("^" .. value:gsub("%p", "%%%0") .. " does not fit", refusal(value))
    end
    for _, value in ipairs { "", "xyz", "u32:", "u32:x", "u33:1", "u32:1 ", "0x0102", "12 34" } do
      assert.matches("^'" .. value:gsub("%p", "%%%0") .. "' is neither", refusal(value))
    end
  end)

  it("must have the variable's size", function()
    assert.equal("\1\2\3\4", global.fit("01020304", 4))
    local none, err = global.fit("0102", 4)
    assert.is_nil(none)
    assert.equal("'0102' is 2 bytes, but the variable has 4", err.message)
    none = global.fit("u16:1", 4)
    assert.is_nil(none)
  end)

  it("stands behind its name", function()
    assert.same({ "GLOBAL_1", "01020304" }, { global.split "GLOBAL_1=01020304" })
    assert.same({ "name", "str:a=b" }, { global.split "name=str:a=b" })
    local none, err = global.split "GLOBAL_1"
    assert.is_nil(none)
    assert.equal("'GLOBAL_1' is not NAME=VALUE", err.message)
    assert.is_nil((global.split "=01"))
    none, err = global.split "G=012"
    assert.is_nil(none)
    assert.equal("G: '012' has an odd number of hexadecimal digits", tostring(err))
  end)
end)
