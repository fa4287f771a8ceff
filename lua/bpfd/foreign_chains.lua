-- Chains of libxdp's that bpfd has no member in, read where they run: in the daemon's own network
-- namespace.

local bpf = require "bpf"
local json = require "bpf.json"
local libxdp = require "bpf.chain.libxdp"
local verdict = require "bpf.verdict"

local foreign_chains = {}

-- In the words of a manifest.
local function manifest_of(ifindex)
  local running <const> = libxdp.read(ifindex)
  if not running then return nil end
  local members = {}
  for place, member in ipairs(running.members) do
    members[place] = { id = member.id, priority = member.priority, mask = member.mask,
      flags = member.flags, owner = "libxdp" }
  end
  return { engine = "freplace", type = "xdp", iface = bpf.network.name(ifindex),
    ifindex = ifindex, shared = "libxdp", segments = 1, xdp_mode = running.mode, head = running.id,
    members = members }
end

local function known_interfaces(daemon)
  local known = {}
  for _, manifest in daemon.store:chains() do
    if manifest.shared and not manifest.netns then known[manifest.ifindex] = true end
  end
  return known
end

--- Their manifests.
---@param daemon table
---@param iface string?  one that is asked for, pinned or not
---@return table[]
function foreign_chains.list(daemon, iface)
  local known <const>, list = known_interfaces(daemon), {}
  local wanted <const> = iface and { bpf.network.index(iface) } or libxdp.interfaces()
  for _, ifindex in ipairs(wanted) do
    local manifest = not known[ifindex] and manifest_of(ifindex)
    if manifest then list[#list + 1] = manifest end
  end
  return list
end

local ACTIONS <const>, DISPATCHER_RETURN <const> = (1 << 5) - 1, 1 << 31

--- The verdicts after which the next member runs. libxdp proceeds on dispatcher_return whatever it
--- was told.
---@return string[]
function foreign_chains.proceed_on(manifest, member)
  local mask = member.mask
  if member.owner then mask = mask & ACTIONS | DISPATCHER_RETURN end
  return verdict.decode(manifest.type, mask)
end

local function add_members(attaches, manifest)
  for place, member in ipairs(manifest.members) do
    if member.owner and member.id then
      attaches[member.id] = { type = "xdp", iface = manifest.iface, ifindex = manifest.ifindex,
        netns = manifest.netns or json.null, priority = member.priority, position = place - 1,
        proceed_on = foreign_chains.proceed_on(manifest, member), engine = manifest.engine,
        xdp_mode = manifest.xdp_mode }
    end
  end
end

--- Where the members run that others have loaded: attach tables by program id.
---@param daemon table
---@return table<integer, table>
function foreign_chains.attaches(daemon)
  local attaches = {}
  for _, manifest in daemon.store:chains() do add_members(attaches, manifest) end
  for _, manifest in ipairs(foreign_chains.list(daemon)) do add_members(attaches, manifest) end
  return attaches
end

return foreign_chains
