-- Manifests and configurations of images: what is read out of them, and what a bytecode image must
-- have.

local error_object = require "bpf.error"
local json = require "bpf.json"
local layer = require "bpf.image.layer"

local manifest = {}

manifest.size_limit = 4 << 20 -- bytes of a manifest, an index or a configuration


local function refuse(message)
  return nil, error_object.new { code = "EBADMSG", message = message }
end

manifest.is_digest = require("bpf.registry.reference").is_digest

local function is_descriptor(value)
  return type(value) == "table" and type(value.mediaType) == "string"
    and manifest.is_digest(value.digest) and math.type(value.size) == "integer"
    and value.size >= 0
end

---@class bpf.image.manifest
---@field config bpf.registry.descriptor
---@field layer bpf.registry.descriptor

--- What a manifest names. Bytecode images have one layer.
---@param bytes string
---@param object_size integer  most bytes of an object
---@return bpf.image.manifest?
---@return bpf.error?
function manifest.read(bytes, object_size)
  local value, err = json.decode(bytes)
  if type(value) ~= "table" then
    return refuse("its manifest is malformed: " .. (err and err.message or "it is no object"))
  end
  if not is_descriptor(value.config) or type(value.layers) ~= "table" then
    return refuse "its manifest is malformed: it names no config or no layers"
  end
  for _, each in ipairs(value.layers) do
    if not is_descriptor(each) then
      return refuse "its manifest is malformed: a layer has no media type, digest or size"
    end
  end
  local first <const>, count <const> = value.layers[1], #value.layers
  if count ~= 1 then
    return refuse(count == 0 and "it has no eBPF layer: it has no layer at all"
      or ("it has %d layers; a bytecode image has one"):format(count))
  end
  if not layer.is_readable(first.mediaType) then
    return refuse(("it has no eBPF layer: its layer is %s"):format(first.mediaType))
  end
  if value.config.size > manifest.size_limit then
    return refuse(("its configuration has %d bytes, more than %d"):format(value.config.size,
      manifest.size_limit))
  end
  if first.size > layer.limit(object_size) then
    return refuse(("its layer has %d bytes, more than %d"):format(first.size,
      layer.limit(object_size)))
  end
  return { config = value.config, layer = first }
end

---@class bpf.image.config
---@field labels table<string, string>
---@field architecture string?
---@field os string?

--- An image's configuration.
---@param bytes string
---@return bpf.image.config?
---@return bpf.error?
function manifest.read_config(bytes)
  local value, err = json.decode(bytes)
  if type(value) ~= "table" then
    return refuse("its configuration is malformed: " .. (err and err.message or "no object"))
  end
  local inner <const> = value.config
  local labels = type(inner) == "table" and inner.Labels or {}
  if type(labels) ~= "table" then return refuse "its configuration is malformed: its labels" end
  for name, text in pairs(labels) do
    if type(name) ~= "string" or type(text) ~= "string" then
      return refuse "its configuration is malformed: its labels"
    end
  end
  local function text_of(key) return type(value[key]) == "string" and value[key] or nil end
  return { labels = labels, architecture = text_of "architecture", os = text_of "os" }
end

return manifest
