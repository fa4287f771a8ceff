local interfaces = require "bpfd.interfaces"

describe("word of interfaces", function()
  local function told(known, change)
    local lines = {}
    for _, event in ipairs(interfaces.events(known, change)) do
      lines[#lines + 1] = ("%s %s %d %s"):format(event.on, event.iface, event.ifindex,
        event.was or event.kind or "-")
    end
    return lines
  end

  local function veth(fields)
    local change = { index = 7, name = "veth0", kind = "veth", up = false, gone = false }
    for key, value in pairs(fields or {}) do change[key] = value end
    return change
  end

  local known
  before_each(function() known = {} end)

  it("is of one that comes, and of its being up", function()
    assert.same({ "link.added veth0 7 veth" }, told(known, veth()))
    assert.same({ "link.up veth0 7 veth" }, told(known, veth { up = true }))
    assert.same({}, told(known, veth { up = true, mtu = 1400 }))
    assert.same({ "link.down veth0 7 veth" }, told(known, veth()))
    assert.same({ "link.added veth1 8 veth", "link.up veth1 8 veth" },
      told(known, veth { index = 8, name = "veth1", up = true }))
  end)

  it("is of one that goes, once, down before it is gone", function()
    told(known, veth { up = true })
    assert.same({ "link.down veth0 7 veth", "link.removed veth0 7 veth" },
      told(known, veth { gone = true }))
    assert.same({}, told(known, veth { gone = true }))
  end)

  it("is of a new name", function()
    told(known, veth())
    assert.same({ "link.renamed lan0 7 veth0" }, told(known, veth { name = "lan0" }))
    assert.same({ "link.removed lan0 7 veth" }, told(known, veth { name = "lan0", gone = true }))
  end)

  it("is of two where another kind has come in one's place unheard", function()
    told(known, veth())
    assert.same({ "link.removed veth0 7 veth", "link.added veth0 7 dummy" },
      told(known, veth { kind = "dummy" }))
  end)
end)
