-- JSON as the wire and `-o json` need it.
local json = require "bpf.json"

describe("json", function()
  it("writes a message as one line, whatever stands in it", function()
    assert.equal('{"name":"a\\nb","programs":[{"id":1},2]}\n',
      json.line { name = "a\nb", programs = { json.raw '{"id":1}', 2 } })
  end)

  it("keeps integers exact up to 64 bits, unsigned ones too", function()
    assert.equal("[9007199254740993,-9223372036854775808]",
      json.encode { 9007199254740993, math.mininteger })
    local numbers = json.decode "[9007199254740993,9223372036854775807,1,1.5]"
    assert.equal("integer", math.type(numbers[1]))
    assert.equal(9007199254740993, numbers[1])
    assert.equal(math.maxinteger, numbers[2])
    assert.equal("integer", math.type(numbers[3]))
    assert.equal(1.5, numbers[4])
    assert.equal("18446744073709551615", json.encode(json.unsigned(-1)))
    assert.equal("9223372036854775808", tostring(json.unsigned(math.mininteger)))
    assert.equal(7, json.unsigned(7))
  end)

  it("reads unsigned integers back as what they were", function()
    local text = [==[{"a":18446744073709551615,"b":"18446744073709551615 \"9223372036854775808",]==]
      .. [==["c":[9223372036854775808]}]==]
    local value = assert(json.decode(text))
    assert.equal(json.unsigned(-1), value.a)
    assert.equal('18446744073709551615 "9223372036854775808', value.b)
    assert.equal(json.unsigned(math.mininteger), value.c[1])
    assert.equal("[18446744073709551615]", json.encode(json.decode "[18446744073709551615]"))
    assert.equal("0.1234567890123456789012", "0.1234567890123456789012")
    assert.equal(0.1234567890123456789012, json.decode "0.1234567890123456789012")
  end)

  it("tells an empty array from an empty object", function()
    assert.equal("[[],{}]", json.encode { {}, json.object {} })
    assert.equal('{"name":[],"type":{}}', json.encode(json.decode ' {"name":[],"type":{}} '))
    assert.is_true(json.is_array(json.decode "[]"))
    assert.is_false(json.is_array(json.decode "{}"))
    assert.is_true(json.is_object(json.decode "{}"))
    assert.is_false(json.is_object(json.decode "[1]"))
    assert.is_false(json.is_object(json.null))
    assert.is_false(json.is_array(json.null))
  end)

  it("leaves nulls out, or keeps them when asked", function()
    assert.same({ b = 1 }, json.decode '{"a":null,"b":1}')
    assert.equal(json.null, json.decode('{"a":null}', { null = true }).a)
    assert.equal('{"name":null}', json.encode { name = json.null })
  end)

  it("writes known keys in the vocabulary's order", function()
    assert.equal('{"id":1,"name":"pass","type":"xdp","attach":{"type":"xdp","iface":"eth0",'
      .. '"priority":50,"proceed_on":["pass"],"engine":"fuse"},"kernel":{"id":1,"tag":"x"}}',
      json.encode {
        kernel = { tag = "x", id = 1 }, type = "xdp", name = "pass", id = 1,
        attach = { engine = "fuse", proceed_on = { "pass" }, priority = 50, iface = "eth0",
          type = "xdp" },
      })
    assert.equal('{"jsonrpc":"2.0","id":3,"method":"program.get","params":{"id":1}}',
      json.encode { params = { id = 1 }, method = "program.get", id = 3, jsonrpc = "2.0" })
  end)

  it("sorts unknown keys when asked", function()
    local value = { metadata = json.object { zone = "b", app = "x", name = "n", rack = "1" } }
    assert.equal('{"metadata":{"app":"x","name":"n","rack":"1","zone":"b"}}',
      json.encode(value, { sorted = true }))
  end)

  it("refuses what is malformed with an error object", function()
    for _, text in ipairs { "", "{", '{"a":}', "nul", "[1] x", '"open', "{]", "\0",
      ("["):rep(100000), ('{"a":'):rep(100000) } do
      local value, err = json.decode(text)
      assert.is_nil(value)
      assert.equal("EBADMSG", err.code)
      assert.matches("^malformed JSON: ", err.message)
    end
  end)

  it("refuses what is nearly JSON", function()
    for _, text in ipairs { "[1 2]", "[1,]", '{"a" 1}', "{1:2}", '{"a":1,}', "+1", ".5", "01",
      "'a'", "tru", "nan", "Infinity", "[1,/*x*/2]", '"\\x"', "1\0", '"a\0',
      "[123456789012345678901234567890]", "[-9223372036854775809]", '{"\\u0000":1}',
      "18446744073709551616", '[{"d":1e400}]' } do
      local value, err = json.decode(text)
      assert.is_nil(value, text)
      assert.equal("EBADMSG", err.code, text)
    end
    assert.equal("malformed JSON: array value separator ',' expected at byte 4",
      select(2, json.decode "[1 2]").message)
    assert.equal('"a\0é😀"', (json.decode [==["\"a\u0000\u00e9\ud83d\ude00\""]==]))
    assert.same({ ["\\u0000"] = "\0", n = math.mininteger },
      json.decode [==[{"\\u0000":"\u0000","n":-9223372036854775808}]==])
    assert.same({}, json.decode " \n[\t]\r ")
  end)

  it("has a bound of depth in both directions", function()
    assert(json.decode(("["):rep(120) .. ("]"):rep(120)))
    assert.equal("malformed JSON: nested too deeply at byte 129",
      select(2, json.decode(("["):rep(1000) .. ("]"):rep(1000))).message)
    local itself = {}
    itself[1] = itself
    assert.has_error(function() json.encode(itself) end,
      "a table nested too deeply, or in itself, has no JSON form")
  end)

  it("tells what has no JSON form", function()
    assert.has_error(function() json.encode { print } end, "a function has no JSON form")
    assert.has_error(function() json.encode { [true] = 1 } end,
      "a boolean as a key has no JSON form")
    assert.equal("[null,0.5,1.0,null]", json.encode { 0 / 0, 0.5, 1.0, math.huge })
    assert.equal('{"1":"a","x":"b"}', json.encode({ "a", x = "b" }, { sorted = true }))
    assert.equal("[1,null,3]", json.encode { 1, nil, 3 })
  end)

  it("escapes control characters", function()
    assert.equal([["a\n\u0001\u001b\""]], json.encode "a\n\1\27\"")
    assert.equal("a\n\1\27\"é", json.decode [["a\n\u0001\u001b\"\u00e9"]])
  end)
end)
