-- Network namespaces of a spec's own, joined by veth pairs that carry its packets and no others.
local uv = require "luv"
local process = require "spec.support.process"

local namespace = {}
namespace.__index = namespace

local made = 0

---A new namespace, named so that spec/run.lua notices when it stays behind.
---@param prefix? string  "bpfd-spec" when left out
function namespace.new(prefix)
  made = made + 1
  local name = ("%s-%d-%d"):format(prefix or "bpfd-spec", uv.os_getpid(), made)
  process.check { "ip", "netns", "add", name }
  local self = setmetatable({ name = name, path = "/run/netns/" .. name }, namespace)
  -- Without IPv6 nobody sends neighbour or router solicitations into an exact count of packets.
  self:check { "sh", "-c", "echo 1 | tee /proc/sys/net/ipv6/conf/all/disable_ipv6 \z
    /proc/sys/net/ipv6/conf/default/disable_ipv6" }
  -- Nor does anybody say that nobody listens on a port: a peer has 60 seconds' worth of tokens.
  self:check { "sh", "-c", "echo 2000000 >/proc/sys/net/ipv4/icmp_ratelimit" }
  self:check { "ip", "link", "set", "lo", "up" }
  return self
end

---The command line that runs `arguments` inside. Not `ip netns exec`: that makes a mount namespace
---too, and a daemon's bpffs would be out of sight.
function namespace:inside(arguments)
  return { "nsenter", "--net=" .. self.path, "--", table.unpack(arguments) }
end

function namespace:run(arguments, options)
  return process.run(self:inside(arguments), options)
end

function namespace:check(arguments, options)
  return process.check(self:inside(arguments), options)
end

---@class namespace.pair
---@field near table    namespace with the interface that programs are loaded on
---@field far table     namespace that packets come from
---@field iface string  the same name at both ends
---@field near_address string
---@field far_address string

---Joins two namespaces by a veth pair, near 10.N.0.1 and far 10.N.0.2; nobody ever asks by ARP.
---@return namespace.pair
function namespace.join(near, far, iface, number)
  number = number or 0
  local pair = { near = near, far = far, iface = iface,
    near_address = ("10.%d.0.1"):format(number), far_address = ("10.%d.0.2"):format(number) }
  local near_hardware = ("02:00:00:00:%02x:01"):format(number)
  local far_hardware = ("02:00:00:00:%02x:02"):format(number)
  near:check { "ip", "link", "add", iface, "address", near_hardware, "type", "veth",
    "peer", "name", iface, "address", far_hardware, "netns", far.name }
  local function set_up(here, address, other, other_hardware)
    here:check { "ip", "address", "add", address .. "/24", "dev", iface }
    here:check { "ip", "link", "set", iface, "up" }
    here:check { "ip", "neighbour", "replace", other, "lladdr", other_hardware, "dev", iface,
      "nud", "permanent" }
  end
  set_up(near, pair.near_address, pair.far_address, far_hardware)
  set_up(far, pair.far_address, pair.near_address, near_hardware)
  return pair
end

---Two new namespaces and a pair between them.
---@param prefix? string  as for namespace.new
---@return namespace.pair
function namespace.pair(iface, prefix)
  return namespace.join(namespace.new(prefix), namespace.new(prefix), iface)
end

-- On one processor, so that packets come in the order in which they were sent.
local function sends(pair, count, port)
  return { "taskset", "--cpu-list", "0", "lua5.4", "spec/support/send_packets.lua",
    pair.near_address, tostring(port or 7007), tostring(count) }
end

---Sends `count` UDP packets into `pair` from its far end; all are sent then, not yet received.
---@param port? integer  7007 when left out
function namespace.send(pair, count, port)
  local sent = pair.far:check(sends(pair, count, port))
  assert(tonumber(sent) == count, "sent only " .. sent)
end

---Sends from now on until `stop` is called, about 20,000 a second, or as many as it can. `stop()`
---returns how many were sent.
---@param at_full_rate boolean?
---@return fun(): integer stop
function namespace.traffic(pair, port, at_full_rate)
  local counted = os.tmpname()
  local sender = process.start(pair.far:inside(sends(pair, at_full_rate and -1 or 0, port)),
    { output = counted })
  local function told()
    local file <close> = assert(io.open(counted))
    return file:read "a"
  end
  assert(process.eventually(function() return told() ~= "" end, 30000), "the sender sends nothing")
  return function()
    sender:signal "sigterm"
    assert(sender:wait() == 0, "the sender failed")
    local text <const> = told()
    os.remove(counted)
    return assert(math.tointeger(tonumber(text:match "(%d+)\n$")))
  end
end

---UDP packets that the namespace's own stack has seen, wanted or not.
---@return integer
function namespace:received()
  local table_text = self:check { "cat", "/proc/net/snmp" }
  local titles, values = table_text:match "Udp: ([^\n]+)\nUdp: ([^\n]+)"
  local seen, value = 0, values:gmatch "%d+"
  for title in titles:gmatch "%a+" do
    local number = tonumber(value())
    if title == "InDatagrams" or title == "NoPorts" or title == "InErrors" then
      seen = seen + number
    end
  end
  return math.tointeger(seen)
end

function namespace:close()
  process.run { "ip", "netns", "delete", self.name }
end
namespace.__close = namespace.close

return namespace
