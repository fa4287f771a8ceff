-- Who may put programs on which interfaces: the members of a group, on those of its patterns. An
-- interface of nobody's is everybody's. Names are Lua patterns, ^ and $ are added.

local owners = {
  netops = { "eth%d+", "bond%d+" },
  virt = { "veth.*", "tap%d+" },
}

local function owner_of(iface)
  for group, patterns in pairs(owners) do
    for _, pattern in ipairs(patterns) do
      if iface:find("^" .. pattern .. "$") then return group end
    end
  end
end

return hooks.add {
  name = "example/interfaces-of-groups",
  on = { "program.load", "program.replace", "program.unload", "chain.change" },
  run = function(event)
    local group = event.attach.iface and owner_of(event.attach.iface)
    if not group or event.peer.uid == 0 or event.peer.groups[group] then return end
    return hooks.deny(("%s belongs to the group %s"):format(event.attach.iface, group))
  end,
}
