-- The known name that a wrong one probably meant.
local nearest = require "bpf.nearest"

describe("the nearest name", function()
  local commands <const> = { "load-from-file", "load-from-image", "unload", "list", "get" }

  it("is the one with the fewest edits", function()
    assert.equal("list", nearest("lsit", commands))
    assert.equal("get", nearest("gte", commands))
    assert.equal("unload", nearest("unlod", commands))
    assert.equal("load-from-image", nearest("load-form-image", commands))
  end)

  it("takes no notice of case and of _ for -", function()
    assert.equal("load-from-file", nearest("LOAD_FROM_FILE", commands))
    assert.equal("IfNotPresent", nearest("ifnotpresent", { "Always", "IfNotPresent", "Never" }))
  end)

  it("is the first of equals, and nothing among nothing", function()
    assert.equal("ab", nearest("xx", { "ab", "cd" }))
    assert.is_nil(nearest("x", {}))
  end)

  it("is found as fast for a megabyte as for a word", function()
    local before = os.clock()
    assert.equal("list", nearest("list" .. (" "):rep(1 << 20), { "list", "get" }))
    assert.is_true(os.clock() - before < 0.5)
  end)
end)
