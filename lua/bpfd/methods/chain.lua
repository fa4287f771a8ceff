-- chain.get and chain.list.

local error_object = require "bpf.error"
local json = require "bpf.json"
local verdict = require "bpf.verdict"
local bpf = require "bpf"

local chain = {}

local function absent(value)
  if value == nil then return json.null end
  return value
end

local function members_of(manifest)
  local members = {}
  for place, member in ipairs(manifest.members) do
    members[place] = { position = place - 1, id = member.id, priority = member.priority,
      proceed_on = verdict.decode(manifest.type, member.mask), managed = true,
      owner = json.null }
  end
  return members
end

local function chain_object(manifest)
  local iface = not manifest.netns and bpf.network.name(manifest.ifindex) or manifest.iface
  return {
    attach = { type = manifest.type, iface = iface, ifindex = manifest.ifindex,
      direction = manifest.direction, netns = absent(manifest.netns),
      xdp_mode = manifest.xdp_mode },
    engine = manifest.engine, segments = absent(manifest.segments),
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
  local found = {}
  for _, manifest in daemon.store:chains() do
    local object = chain_object(manifest)
    if matches(object, params) then table.insert(found, object) end
  end
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
