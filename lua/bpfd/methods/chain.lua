-- chain.get and chain.list.

local chain_follow = require "bpfd.chain_follow"
local error_object = require "bpf.error"
local foreign_chains = require "bpfd.foreign_chains"
local json = require "bpf.json"
local bpf = require "bpf"

local chain = {}

local or_null <const> = json.or_null

local function members_of(manifest)
  local members = {}
  for place, member in ipairs(manifest.members) do
    members[place] = { position = place - 1, id = or_null(member.id), priority = member.priority,
      proceed_on = foreign_chains.proceed_on(manifest, member), managed = not member.owner,
      owner = or_null(member.owner) }
  end
  return members
end

local function chain_object(manifest)
  local iface = not manifest.netns and bpf.network.name(manifest.ifindex) or manifest.iface
  return {
    attach = { type = manifest.type, iface = iface, ifindex = manifest.ifindex,
      direction = manifest.direction, netns = or_null(manifest.netns),
      xdp_mode = manifest.xdp_mode },
    engine = manifest.engine, shared = or_null(manifest.shared),
    segments = or_null(manifest.segments),
    members = members_of(manifest),
  }
end

local function matches(object, params)
  local attach <const> = object.attach
  return (params.type == nil or params.type == attach.type)
    and (params.iface == nil or params.iface == attach.iface)
    and (params.direction == nil or params.direction == attach.direction)
    and (params.netns == nil or params.netns == attach.netns)
end

local function find(daemon, params)
  chain_follow.catch_up(daemon, true)
  local found = {}
  local function consider(manifest)
    local object <const> = chain_object(manifest)
    if matches(object, params) then table.insert(found, object) end
  end
  for _, manifest in daemon.store:chains() do consider(manifest) end
  for _, manifest in ipairs(foreign_chains.list(daemon, params.iface)) do consider(manifest) end
  return found
end

local parameters <const> = { type = true, iface = true, direction = true, netns = true }

chain["chain.list"] = {
  parameters = parameters,
  run = function(daemon, request) return { chains = find(daemon, request.params) } end,
}

chain["chain.get"] = {
  parameters = parameters,
  run = function(daemon, request)
    local found <const> = find(daemon, request.params)
    if #found == 1 then return found[1] end
    return nil, error_object.new { code = #found == 0 and "ENOENT" or "EINVAL",
      message = #found == 0 and "there is no such chain" or "more than one chain is meant",
      advice = "chain.list shows all of them" }
  end,
}

return chain
