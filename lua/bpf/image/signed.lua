-- Signatures of images as a store keeps them: images of their own, under the tags that cosign uses,
-- so that they are checked again at every load without a registry.

local catalog = require "bpf.image.catalog"
local manifest = require "bpf.image.manifest"
local signature = require "bpf.image.signature"
local json = require "bpf.json"

local signed = {}

local unruled <const> = { decision = "off", reason = "no rule asks for a signature" }

-- The payloads that a signature manifest names, by digest.
local function read_payloads(store, bytes)
  local value <const> = json.decode(bytes)
  local payloads = {}
  for _, layer in ipairs(type(value) == "table" and value.layers or {}) do
    local digest <const> = type(layer) == "table" and layer.digest
    if manifest.is_digest(digest) then
      payloads[digest] = store:read(digest, manifest.size_limit)
    end
  end
  return payloads
end

local function read_one(store, reference, digest)
  local name <const> = reference:at(signature.tag(digest)):text()
  local descriptor, err = catalog.find(store, { reference = name })
  if not descriptor then return nil, err end
  local bytes
  bytes, err = store:read(descriptor.digest, manifest.size_limit)
  if not bytes then return nil, err end
  return signature.read({ bytes = bytes, media_type = descriptor.mediaType,
    digest = descriptor.digest, size = #bytes }, read_payloads(store, bytes))
end

-- All that the store has of signatures of the image. One that cannot be read is as good as none.
local function read_all(store, reference, image)
  local list = {}
  for _, digest in ipairs(image.digests) do list[#list + 1] = read_one(store, reference, digest) end
  return list
end

-- Keeps one that was fetched, under its name.
local function keep(store, name, fetched)
  local got <const> = fetched.manifest
  local needed, good, err = { got.digest }, store:put(got.bytes)
  for digest, bytes in pairs(fetched.payloads) do
    if good then good, err = store:put(bytes) end
    needed[#needed + 1] = digest
  end
  if not good then return nil, err end
  good, err = catalog.name(store, name, { mediaType = got.media_type, digest = got.digest,
    size = got.size }, needed)
  if good == nil then return nil, err end
  return true
end

--- Whether the rules let the image be used, by what the store has.
---@param store bpf.image.store
---@param reference bpf.reference
---@param image bpf.image.stored
---@param rules bpf.image.signature_rules?
---@return bpf.image.decision?
---@return bpf.error?
---@return boolean? unknown  the store has no signature; a registry may have one
function signed.decide(store, reference, image, rules)
  if not rules or not rules:wants(reference) then return unruled end
  local list <const> = read_all(store, reference, image)
  local decision, err = rules:decide(reference, image.digests, list)
  return decision, err, not decision and #list == 0
end

--- Gets what the registry has of signatures of the image, and keeps it.
---@param store bpf.image.store
---@param session bpf.registry.session
---@param reference bpf.reference
---@param image bpf.image.stored
---@return true?
---@return bpf.error?
function signed.fetch(store, session, reference, image)
  for _, digest in ipairs(image.digests) do
    local list, err = signature.fetch(session, { digest })
    if not list then return nil, err end
    local good
    for _, each in ipairs(list) do
      good, err = keep(store, reference:at(signature.tag(digest)):text(), each)
      if not good then return nil, err end
    end
  end
  return true
end

return signed
