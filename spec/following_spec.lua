local following = require "bpfd.following"
local log = require "bpfd.log"

describe("following interfaces", function()
  it("goes on after a fault of its own", function()
    local tell, asked, is_broken = nil, 0, true
    local store = {
      interfaces = function() return {} end,
      declarations = function()
        if not tell then return {} end
        asked = asked + 1
        if is_broken then error "the database is in flames" end
        return {}
      end,
    }
    local interfaces = { known = { [7] = { name = "eth0" } } }
    local subscribed
    function interfaces.subscribe(_, listener) subscribed = listener end
    following.start { store = store, interfaces = interfaces }
    tell = subscribed
    local written, before = {}, log.error
    log.error = function(format, ...) table.insert(written, format:format(...)) end
    tell { on = "link.added", ifindex = 7, iface = "eth0" }
    is_broken = false
    tell { on = "link.added", ifindex = 7, iface = "eth0" }
    log.error = before
    assert.equal(2, asked)
    assert.equal(1, #written)
    assert.matches("in flames", written[1])
  end)
end)
