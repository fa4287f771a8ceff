-- An image as a store has it: its manifest, its labels, its object. Nothing here asks a registry.

local error_object = require "bpf.error"
local json = require "bpf.json"
local catalog = require "bpf.image.catalog"
local labels = require "bpf.image.labels"
local layer = require "bpf.image.layer"
local manifest = require "bpf.image.manifest"
local index = require "bpf.registry.index"
local media_types = require "bpf.registry.media_types"
local platform = require "bpf.registry.platform"

local stored = {}

--- What an object may have at most unless the caller says otherwise.
stored.object_size = 64 << 20

---@class bpf.image.stored
---@field reference string
---@field digest string            of what the name stands for: an index or a manifest
---@field descriptor bpf.registry.descriptor
---@field manifest_digest string   of this machine's image
---@field manifest bpf.image.manifest
---@field labels bpf.image.labels
---@field platform string?         linux/amd64
---@field digests string[]         both digests, each once: what a signature may be of

-- The manifest that a descriptor leads to, through an index where it is one.
local function read_manifest(store, descriptor, wanted)
  local bytes, err = store:read(descriptor.digest, manifest.size_limit)
  if not bytes then return nil, err end
  if not media_types.is_index(descriptor.mediaType) then return bytes, descriptor.digest end
  local chosen
  chosen, err = index.choose(bytes, wanted)
  if not chosen then return nil, err end
  bytes, err = store:read(chosen.digest, manifest.size_limit)
  if not bytes then return nil, err end
  return bytes, chosen.digest
end

local function platform_of(config)
  if not config.architecture then return nil end
  return platform.text { os = config.os or "linux", architecture = config.architecture }
end

--- Reads the image that a descriptor leads to; every byte that is read has its digest checked.
---@param store bpf.image.store
---@param descriptor bpf.registry.descriptor
---@param wanted { reference: string, object_size: integer?, platform: bpf.registry.platform? }
---@return bpf.image.stored?
---@return bpf.error?  ENODATA: it is not whole
function stored.read(store, descriptor, wanted)
  local self = { reference = wanted.reference, digest = descriptor.digest, descriptor = descriptor }
  local bytes, digest = read_manifest(store, descriptor, wanted.platform)
  if not bytes then return nil, digest end
  self.manifest_digest = digest
  self.digests = digest ~= descriptor.digest and { descriptor.digest, digest } or { digest }
  local err
  self.manifest, err = manifest.read(bytes, wanted.object_size or stored.object_size)
  if not self.manifest then return nil, err end
  bytes, err = store:read(self.manifest.config.digest, manifest.size_limit)
  if not bytes then return nil, err end
  local config
  config, err = manifest.read_config(bytes)
  if not config then return nil, err end
  self.platform = platform_of(config)
  self.labels, err = labels.read(config.labels)
  if not self.labels then return nil, err end
  return self
end

--- Reads an image by its name, or by the digest where it once had the name.
---@param store bpf.image.store
---@param wanted { reference: string, digest: string?, object_size: integer?,
---  platform: bpf.registry.platform? }
---@return bpf.image.stored?
---@return bpf.error?  ENODATA: it is not there, or not whole
function stored.find(store, wanted)
  local descriptor, err = catalog.find(store,
    wanted.digest and { digest = wanted.digest } or { reference = wanted.reference })
  if descriptor then return stored.read(store, descriptor, wanted) end
  if err then return nil, err end
  return nil, error_object.new { code = "ENODATA", message = "the image is not in the store" }
end

local function record_name(layer_digest)
  return ("unpacked/%s.json"):format(layer_digest:sub(#"sha256:" + 1))
end

local function remembered(store, layer_digest)
  local text <const> = store:own_file(record_name(layer_digest))
  local list <const> = text and json.decode(text)
  if type(list) ~= "table" then return nil end
  for _, object in ipairs(list) do
    if type(object) ~= "table" or type(object.path) ~= "string"
        or not manifest.is_digest(object.digest) or not store:has(object.digest, object.size) then
      return nil
    end
  end
  return list
end

-- Takes the objects out of a layer and keeps them as blobs of their own, so that no later load
-- needs to unpack it again.
local function unpack_layer(store, layer_digest, object_size)
  local file <close>, err = store:open_blob(layer_digest)
  if not file then return nil, err end
  local found
  found, err = layer.read(file, object_size)
  if not found then return nil, err end
  local list = {}
  for place, each in ipairs(found) do
    local object <close> = each.object
    local digest
    digest, err = store:put_file(object, false)
    if not digest then return nil, err end
    list[place] = { path = each.path, size = each.size, digest = digest }
  end
  local good
  good, err = store:replace(record_name(layer_digest), json.encode(list, { sorted = true }), false)
  if not good then return nil, err end
  return list
end

--- The eBPF objects in it.
---@param store bpf.image.store
---@param image bpf.image.stored
---@param object_size integer?
---@param again boolean?  whatever is known of an earlier unpacking
---@return { path: string, size: integer, digest: string }[]?
---@return bpf.error?
function stored.objects(store, image, object_size, again)
  local digest <const> = image.manifest.layer.digest
  local list <const> = not again and remembered(store, digest) or nil
  if list then return list end
  return unpack_layer(store, digest, object_size or stored.object_size)
end

--- Its object, in sealed memory.
---@param store bpf.image.store
---@param image bpf.image.stored
---@param object_size integer?
---@return table? descriptor
---@return { path: string, size: integer, digest: string }|bpf.error
function stored.object(store, image, object_size)
  object_size = object_size or stored.object_size
  local sealed, err, chosen
  for attempt = 1, 2 do -- an object that was changed on the disk is taken out of its layer again
    local list
    list, err = stored.objects(store, image, object_size, attempt == 2)
    if not list then return nil, err end
    chosen, err = labels.only_object(list, image.labels.filename)
    if not chosen then return nil, err end
    sealed, err = store:seal(chosen.digest, object_size)
    if sealed then return sealed, chosen end
    if err.code ~= "ENODATA" then return nil, err end
    store:discard(chosen.digest)
  end
  return nil, err
end

return stored
