-- A soak's interfaces: one that carries the traffic, and others that come and go.
local interfaces = {}

local PASSING <const> = { "veth1", "veth2", "veth3" }

---Carries the traffic and never goes.
interfaces.fixed = "veth0"

---One that is there.
---@return string
function interfaces.random(soak)
  local there = { interfaces.fixed }
  for _, iface in ipairs(PASSING) do
    if soak.ifaces[iface] then there[#there + 1] = iface end
  end
  return there[math.random(#there)]
end

---One that comes and goes.
---@return string
function interfaces.random_passing() return PASSING[math.random(#PASSING)] end

local function add(soak, iface)
  soak.daemon.options.namespace:check { "ip", "link", "add", iface, "type", "veth", "peer", "name",
    iface .. "p" }
  soak.ifaces[iface] = true
end

---Takes it away, or brings it back.
function interfaces.turn(soak, iface)
  if not soak.ifaces[iface] then return add(soak, iface) end
  soak.daemon.options.namespace:check { "ip", "link", "delete", iface }
  soak.ifaces[iface] = nil
  soak.model:drop_interface(iface)
end

---All of them come.
function interfaces.add_all(soak)
  for _, iface in ipairs(PASSING) do add(soak, iface) end
end

return interfaces
