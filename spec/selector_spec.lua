-- Selectors over metadata.
local selector = require "bpf.selector"

local function matches(text, metadata)
  return assert(selector.parse(text))(metadata)
end

describe("a selector", function()
  local acme <const> = { owner = "acme", tier = "web", note = "x y" }

  it("compares keys with values", function()
    assert.is_true(matches("owner=acme", acme))
    assert.is_true(matches("owner == acme", acme))
    assert.is_false(matches("owner=other", acme))
    assert.is_true(matches("owner!=other", acme))
    assert.is_false(matches("owner!=acme", acme))
    assert.is_false(matches("zone=b", acme))
    assert.is_true(matches("zone!=b", acme))
  end)

  it("asks for one of several values, or for none of them", function()
    assert.is_true(matches("tier in (edge, web)", acme))
    assert.is_false(matches("tier in (edge)", acme))
    assert.is_true(matches("tier notin(edge,core)", acme))
    assert.is_false(matches("tier notin (edge, web)", acme))
    assert.is_true(matches("zone notin (a)", acme))
    assert.is_false(matches("zone in (a)", acme))
  end)

  it("asks whether a key is there", function()
    assert.is_true(matches("owner", acme))
    assert.is_false(matches("zone", acme))
    assert.is_true(matches("!zone", acme))
    assert.is_false(matches("! owner", acme))
    assert.is_true(matches("in", { ["in"] = "x" }))
  end)

  it("means and by a comma", function()
    assert.is_true(matches(" owner=acme , tier in (web) , !zone ", acme))
    assert.is_false(matches("owner=acme,tier=edge", acme))
  end)

  it("says from where on it cannot be read", function()
    for text, rest in pairs {
      [""] = "", ["owner="] = "=", ["owner=a,"] = ",", ["tier in web"] = "in web",
      ["tier in ("] = "in (", ["a=b c"] = "c", ["=a"] = "=a",
    } do
      local parsed, err = selector.parse(text)
      assert.is_nil(parsed)
      assert.equal("EINVAL", err.code)
      assert.equal(("cannot read the selector '%s' from '%s' on"):format(text, rest), err.message)
    end
  end)
end)
