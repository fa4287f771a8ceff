-- Which images a store has, by what names: its index.json.

local error_object = require "bpf.error"
local json = require "bpf.json"

local catalog = {}

local NAME <const> = "org.opencontainers.image.ref.name"

---@class bpf.image.entry
---@field reference string?   whole, such as quay.io/acme/guard:1.4; nil: its name is another's now
---@field descriptor bpf.registry.descriptor

local function read_index(store)
  local text <const> = store:own_file "index.json"
  local index, err = nil, nil
  if text then index, err = json.decode(text) end
  if type(index) == "table" and type(index.manifests) == "table" then return index end
  return nil, error_object.new { code = "EBADMSG",
    message = ("%s/index.json cannot be read: %s"):format(store.path,
      err and err.message or text and "it has no manifests" or "there is no such file") }
end

local function name_of(descriptor)
  local annotations <const> = descriptor.annotations
  return type(annotations) == "table" and annotations[NAME] or nil
end

local function set_name(descriptor, name)
  descriptor.annotations = descriptor.annotations or {}
  descriptor.annotations[NAME] = name
  if next(descriptor.annotations) == nil then descriptor.annotations = nil end
end

--- Everything in the index.
---@param store bpf.image.store
---@return bpf.image.entry[]?
---@return bpf.error?
function catalog.entries(store)
  local index, err = read_index(store)
  if not index then return nil, err end
  local list = {}
  for place, descriptor in ipairs(index.manifests) do
    if type(descriptor) == "table" and type(descriptor.digest) == "string"
        and type(descriptor.mediaType) == "string" then
      list[#list + 1] = { reference = name_of(descriptor), descriptor = descriptor, place = place }
    end
  end
  return list
end

--- The image of a name, or the one with a digest.
---@param store bpf.image.store
---@param wanted { reference: string?, digest: string? }
---@return bpf.registry.descriptor?  nil without an error: it is not there
---@return bpf.error?
function catalog.find(store, wanted)
  local entries, err = catalog.entries(store)
  if not entries then return nil, err end
  for _, entry in ipairs(entries) do
    if (not wanted.reference or entry.reference == wanted.reference)
        and (not wanted.digest or entry.descriptor.digest == wanted.digest) then
      return entry.descriptor
    end
  end
  return nil
end

--- Changes the index: all of a change or nothing of it.
---@param store bpf.image.store
---@param change fun(manifests: bpf.registry.descriptor[]): bpf.registry.descriptor[]|false|nil,
---  bpf.error?   false: there is nothing to change
---@return true?
---@return bpf.error?
function catalog.change(store, change)
  return store:locked(function()
    local index, err = read_index(store)
    local manifests
    if index then manifests, err = change(index.manifests) end
    if manifests == nil then return nil, err end
    if not manifests then return true end
    index.manifests = manifests
    local good
    good, err = store:settle()
    if not good then return nil, err end
    return store:replace("index.json", json.encode(index, { sorted = true }))
  end)
end

--- Gives an image a name. Who had that name stays in the index without it, until it is removed.
---@param store bpf.image.store
---@param reference string
---@param descriptor { mediaType: string, digest: string, size: integer }
---@param needed string[]   blobs without which it is no image
---@return boolean?  false: one of them has been removed meanwhile, and nothing is changed
---@return bpf.error?
function catalog.name(store, reference, descriptor, needed)
  local whole = true
  local good, err = catalog.change(store, function(manifests)
    for _, digest in ipairs(needed) do whole = whole and store:has(digest) end
    if not whole then return false end
    local kept = {}
    for _, other in ipairs(manifests) do
      if name_of(other) == reference then set_name(other, nil) end
      if other.digest ~= descriptor.digest or name_of(other) then kept[#kept + 1] = other end
    end
    kept[#kept + 1] = { mediaType = descriptor.mediaType, digest = descriptor.digest,
      size = descriptor.size, platform = descriptor.platform, annotations = { [NAME] = reference } }
    return kept
  end)
  if not good then return nil, err end
  return whole
end

--- Leaves entries out of the index.
---@param store bpf.image.store
---@param leaves fun(entry: bpf.image.entry): boolean
---@return true?
---@return bpf.error?
function catalog.remove(store, leaves)
  return catalog.change(store, function(manifests)
    local kept = {}
    for _, descriptor in ipairs(manifests) do
      if not leaves { reference = name_of(descriptor), descriptor = descriptor } then
        kept[#kept + 1] = descriptor
      end
    end
    return #kept < #manifests and kept
  end)
end

return catalog
