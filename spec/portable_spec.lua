local core = require "bpf.core"
local frame = require "bpf.frame"
local json = require "bpf.json"
local portable = require "bpfd.portable"

describe("what a process is told", function()
  -- As it goes from one process to the other.
  local function carried(value)
    local nodes, descriptors = portable.pack(value)
    assert.is_table(nodes)
    return portable.unpack((frame.take(frame.of(nodes))), descriptors), descriptors
  end

  for what, value in pairs {
    ["nothing"] = {}, ["a list"] = { 1, "two", 2.5, false, math.mininteger },
    ["tables in tables"] = { a = { b = { c = {} } }, [7] = { "x" } },
    ["bytes"] = { "\0\255\n", ("x"):rep(70000) },
    ["falsehood as a value and true as a key"] = { a = false, [true] = 1 },
  } do
    it("arrives as it was: " .. what, function()
      local arrived, descriptors = carried(value)
      assert.same(value, arrived)
      assert.same({}, descriptors)
    end)
  end

  it("keeps what is shared shared, even with itself", function()
    local owner <const> = { name = "owner" }
    owner.self = owner
    local arrived = carried { owner, { maps_of = owner }, [owner] = "key" }
    assert.equal(arrived[1], arrived[2].maps_of)
    assert.equal(arrived[1], arrived[1].self)
    assert.equal("key", arrived[arrived[1]])
  end)

  it("is an object of JSON where it was one", function()
    local arrived = carried { a = json.object {}, b = {} }
    assert.equal('{"a":{},"b":[]}', json.encode(arrived, { sorted = true }))
  end)

  it("has its descriptors beside it, each once", function()
    local one, other = core.system.pipe()
    local arrived, descriptors = carried { one, { again = one, other = other } }
    assert.equal(2, #descriptors)
    assert.equal(one, arrived[1])
    assert.equal(one, arrived[2].again)
    assert.equal(other, arrived[2].other)
    one:close()
    other:close()
  end)

  for what, value in pairs {
    ["a function"] = { print }, ["an object"] = { { setmetatable({}, { __index = {} }) } },
    ["a null"] = { json.null }, ["somebody's file"] = { io.stdout },
  } do
    it("is not to be told with " .. what .. " in it", function()
      assert.is_nil((portable.pack(value)))
    end)
  end
end)
