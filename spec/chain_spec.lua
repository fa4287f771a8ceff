-- What of chains needs no kernel.
local chain = require "bpf.chain"
local manifest = require "bpf.chain.manifest"

describe("the order of a chain", function()
  local function names(members)
    local list = {}
    for position, member in ipairs(chain.order(members)) do list[position] = member.name end
    return table.concat(list, " ")
  end

  it("is by priority, lower first", function()
    assert.equal("a b c", names {
      { name = "c", priority = 50 }, { name = "a", priority = 0 }, { name = "b", priority = 10 },
    })
  end)

  it("puts the newer first among equals", function()
    assert.equal("third second first last", names {
      { name = "first", priority = 5 }, { name = "last", priority = 6 },
      { name = "second", priority = 5 }, { name = "third", priority = 5 },
    })
  end)

  it("leaves the list that it was given alone", function()
    local members = { { priority = 2 }, { priority = 1 } }
    chain.order(members)
    assert.equal(2, members[1].priority)
  end)
end)

describe("a chain's engine", function()
  it("is chosen by name", function()
    assert.equal("fuse", chain.engine("fuse").name)
    assert.has_error(function() chain.engine "splice" end)
  end)
end)

describe("a manifest", function()
  local whole = {
    engine = "fuse", type = "xdp", ifindex = 3,
    members = { { id = 7, priority = 0, mask = 0x80000004 }, { id = 9, priority = 50, mask = 4 } },
  }

  it("comes back as it was", function()
    local found = assert(manifest.decode(manifest.encode(whole)))
    assert.equal("fuse", found.engine)
    assert.equal(3, found.ifindex)
    assert.same(7, found.members[1].id)
    assert.same(0x80000004, found.members[1].mask)
    assert.equal(2, #found.members)
  end)

  it("is refused when it is damaged or of another version", function()
    local bytes = manifest.encode(whole)
    for _, damaged in ipairs {
      "", "[]", "null", "17", bytes:sub(1, -3), (bytes:gsub('"version":1', '"version":99')),
      (bytes:gsub('"mask":4', '"mask":"4"')), (bytes:gsub('"id":7', '"id":7.5')),
      (bytes:gsub('"members":%[', '%05,')), (bytes:gsub('"ifindex":3', '"ifindex":"3"')),
      (bytes:gsub('"type":"xdp"', '"type":{}')), (bytes:gsub('"mask":4', '%0,"name":1')),
    } do
      local found, err = manifest.decode(damaged)
      assert.is_nil(found, damaged)
      assert.equal("EINVAL", err.code)
    end
  end)
end)
