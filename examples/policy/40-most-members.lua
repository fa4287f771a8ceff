-- No chain gets longer than this: each member costs every packet a little. One that is too long
-- already may shrink.

local most = { xdp = 8, tc = 16 }

return hooks.add {
  name = "example/most-members",
  on = "chain.change",
  run = function(event)
    local now, next, limit = #event.chain.now, #event.chain.next, most[event.attach.type]
    if next <= now or next <= limit then return end
    return hooks.deny(("%s would have %d %s programs, and no more than %d may be there"):format(
      event.attach.iface, next, event.attach.type, limit))
  end,
}
