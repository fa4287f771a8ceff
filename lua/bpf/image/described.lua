-- What is told of an image of a store, always in the same form.

local core = require "bpf.core"
local catalog = require "bpf.image.catalog"
local garbage = require "bpf.image.garbage"
local labels = require "bpf.image.labels"
local signed = require "bpf.image.signed"
local stored = require "bpf.image.stored"

local described = {}

---@class bpf.image.described
---@field image_url string?       its whole reference; nil: another image has it now
---@field digest string           of what the reference stands for: an index or a manifest
---@field manifest_digest string? of this machine's image, where that is another
---@field size integer            bytes of the blobs that the store has of it
---@field platform string?
---@field programs table<string, string>
---@field maps table<string, string>
---@field object { path: string, size: integer, digest: string }?
---@field signed_by string?
---@field used_at integer?        nanoseconds since 1970
---@field problem string?         why it cannot be used

local function size_of(store, image)
  local digests = { image.manifest.config.digest, image.manifest.layer.digest,
    table.unpack(image.digests) }
  local size = 0
  for _, digest in ipairs(digests) do
    local facts <const> = core.system.facts(store:blob_path(digest))
    size = size + (facts and facts.size or 0)
  end
  return size
end

--- One that has been found.
---@param store bpf.image.store
---@param image bpf.image.stored
---@return bpf.image.described
function described.of(store, image)
  local object <const> = image.object
  return {
    image_url = image.reference, digest = image.digest,
    manifest_digest = image.manifest_digest ~= image.digest and image.manifest_digest or nil,
    size = size_of(store, image), platform = image.platform,
    programs = image.labels.programs, maps = image.labels.maps,
    object = object and { path = object.path, size = object.size, digest = object.digest },
    signed_by = image.decision and image.decision.signed_by,
    used_at = core.disk.changed_at(store:blob_path(image.digest)), fetched = image.fetched,
  }
end

---@class bpf.image.look
---@field reference bpf.reference
---@field object_size integer?
---@field rules bpf.image.signature_rules?

local function find(store, wanted)
  return stored.find(store, {
    reference = wanted.reference:text(), object_size = wanted.object_size,
  })
end

--- One image with its object and what the rules about signatures say of it.
---@param store bpf.image.store
---@param wanted bpf.image.look
---@return table?  bpf.image.described, with config_digest, layer and signature as well
---@return bpf.error?
function described.inspect(store, wanted)
  local image, err = find(store, wanted)
  if not image then return nil, err end
  local decision
  decision, err = signed.decide(store, wanted.reference, image, wanted.rules)
  image.decision = decision or { decision = "refused", reason = tostring(err) }
  local list, problem = stored.objects(store, image, wanted.object_size)
  if list then image.object, problem = labels.only_object(list, image.labels.filename) end
  local object = described.of(store, image)
  object.problem = problem and tostring(problem) or nil
  object.layer = image.manifest.layer
  object.config_digest = image.manifest.config.digest
  object.signature = { decision = image.decision.decision, reason = image.decision.reason }
  return object
end

--- What the rules about signatures say of an image; refused is an error.
---@param store bpf.image.store
---@param wanted bpf.image.look
---@return { image_url: string, digest: string, decision: string, signed_by: string?,
---  reason: string }?
---@return bpf.error?
function described.verify(store, wanted)
  local image, err = find(store, wanted)
  if not image then return nil, err end
  local decision
  decision, err = signed.decide(store, wanted.reference, image, wanted.rules)
  if not decision then return nil, err end
  return { image_url = image.reference, digest = image.digest, decision = decision.decision,
    signed_by = decision.signed_by, reason = decision.reason }
end

-- An image that cannot be read is told of all the same.
local function describe_entry(store, entry, object_size)
  local image, err = stored.read(store, entry.descriptor, {
    reference = entry.reference, object_size = object_size,
  })
  if image then return described.of(store, image) end
  return { image_url = entry.reference, digest = entry.descriptor.digest,
    size = entry.descriptor.size, programs = {}, maps = {}, problem = tostring(err) }
end

--- All of a store, by name; signatures are none.
---@param store bpf.image.store
---@param object_size integer?
---@return bpf.image.described[]?
---@return bpf.error?
function described.all(store, object_size)
  local entries, err = catalog.entries(store)
  if not entries then return nil, err end
  local list = {}
  for _, entry in ipairs(entries) do
    if not garbage.signed_digest(entry) then
      list[#list + 1] = describe_entry(store, entry, object_size)
    end
  end
  table.sort(list, function(a, b)
    if a.image_url ~= b.image_url then return (a.image_url or "~") < (b.image_url or "~") end
    return a.digest < b.digest
  end)
  return list
end

return described
