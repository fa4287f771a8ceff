-- Ids that went with their interfaces.
local departed = require "bpfd.departed"

describe("the ids that have departed", function()
  it("are known", function()
    local ids = departed.new()
    ids:add(7)
    assert.is_true(ids:has(7))
    assert.is_false(ids:has(8))
  end)

  it("are the last 4096, each once", function()
    local ids = departed.new()
    for id = 1, 4096 do
      ids:add(id)
      ids:add(id)
    end
    assert.is_true(ids:has(1))
    ids:add(4097)
    assert.is_false(ids:has(1))
    assert.is_true(ids:has(2))
    assert.is_true(ids:has(4097))
  end)
end)
