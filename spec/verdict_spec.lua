local verdict = require "bpf.verdict"

describe("verdict", function()
  it("turns names into the mask of their bits", function()
    assert.equal(1 << 2 | 1 << 31, verdict.encode("xdp", { "pass", "dispatcher_return" }))
    assert.equal(1 << 0 | 1 << 3 | 1 << 9, verdict.encode("tc", { "unspec", "shot", "trap" }))
    assert.equal(0, verdict.encode("xdp", {}))
  end)

  it("takes the default set where there is none", function()
    assert.equal(verdict.encode("xdp", { "pass", "dispatcher_return" }), verdict.encode("xdp"))
    assert.equal(verdict.encode("tc", { "ok", "pipe", "dispatcher_return" }), verdict.encode("tc"))
    assert.same({ "ok", "pipe", "dispatcher_return" }, verdict.default "tc")
  end)

  it("lists the names of a mask by code, dispatcher_return last", function()
    for _, kind in ipairs { "xdp", "tc" } do
      local all = verdict.values(kind)
      assert.equal("dispatcher_return", all[#all])
      assert.same(all, verdict.decode(kind, verdict.encode(kind, all)))
    end
    assert.same({ "aborted", "tx", "dispatcher_return" }, verdict.decode("xdp", 0x80000009))
  end)

  it("gives lists that a caller may change", function()
    table.remove(verdict.default "xdp")
    table.remove(verdict.values "xdp")
    assert.same({ "pass", "dispatcher_return" }, verdict.default "xdp")
    assert.equal(6, #verdict.values "xdp")
  end)

  it("refuses an unknown name and names the nearest", function()
    local mask, err = verdict.encode("xdp", { "pass", "drp" })
    assert.is_nil(mask)
    assert.equal("EINVAL", err.code)
    assert.matches("xdp has no verdict drp", err.message, 1, true)
    assert.matches("did you mean drop?", err.advice, 1, true)
    assert.is_nil((verdict.encode("xdp", { "ok" })))
  end)

  it("refuses a mask with bits that have no name", function()
    local names, err = verdict.decode("xdp", 1 << 5)
    assert.is_nil(names)
    assert.equal("EINVAL", err.code)
    assert.is_nil((verdict.decode("tc", 1 << 40)))
    assert.is_nil((verdict.decode("tc", -1)))
  end)

  it("raises on a kind that is none", function()
    assert.has_error(function() verdict.encode("kprobe", {}) end)
  end)
end)
