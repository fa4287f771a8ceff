-- Image indexes: one name, a manifest for each platform.

local error_object = require "bpf.error"
local json = require "bpf.json"
local is_digest = require("bpf.registry.reference").is_digest
local platform = require "bpf.registry.platform"

---@class bpf.registry.descriptor
---@field mediaType string
---@field digest string
---@field size integer
---@field platform bpf.registry.platform?
---@field annotations table<string, string>?

local index = {}

local function malformed(why)
  return nil, error_object.new { code = "EBADMSG", message = "malformed image index: " .. why }
end

local function is_descriptor(value)
  return type(value) == "table" and type(value.mediaType) == "string"
    and is_digest(value.digest) and math.type(value.size) == "integer" and value.size >= 0
end

local function is_platform(value)
  return type(value) == "table" and type(value.os) == "string"
    and type(value.architecture) == "string"
    and (value.variant == nil or type(value.variant) == "string")
end

--- The descriptors of an index, each with a digest, a size and a media type.
---@param bytes string
---@return bpf.registry.descriptor[]?
---@return bpf.error?
function index.read(bytes)
  local value, err = json.decode(bytes)
  if type(value) ~= "table" then return malformed(err and err.message or "it is no object") end
  if type(value.manifests) ~= "table" then return malformed "it has no manifests" end
  for place, each in ipairs(value.manifests) do
    if not is_descriptor(each) or each.platform ~= nil and not is_platform(each.platform) then
      return malformed(("manifest %d has no media type, digest, size or platform"):format(place))
    end
  end
  return value.manifests
end

local function offered_platforms(descriptors)
  local names, seen = {}, {}
  for _, each in ipairs(descriptors) do
    local name <const> = each.platform and platform.text(each.platform)
    if name and not seen[name] and each.platform.os ~= "unknown" then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  return #names > 0 and "there is " .. table.concat(names, ", ") or "it names no platform"
end

--- The manifest for a platform.
---@param bytes string  the index
---@param wanted bpf.registry.platform?  this machine's when left out
---@return bpf.registry.descriptor?
---@return bpf.error?
function index.choose(bytes, wanted)
  local descriptors, err = index.read(bytes)
  if not descriptors then return nil, err end
  local best, best_rank
  for _, each in ipairs(descriptors) do
    local rank <const> = each.platform and platform.rank(each.platform, wanted)
    if rank and (not best_rank or rank < best_rank) then best, best_rank = each, rank end
  end
  if best then return best end
  return nil, error_object.new {
    code = "ENOENT",
    message = ("the image has nothing for %s; %s"):format(
      platform.text(wanted or platform.mine()), offered_platforms(descriptors)),
  }
end

return index
