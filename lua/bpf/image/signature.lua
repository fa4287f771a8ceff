-- Signatures of images in cosign's form: a simple-signing payload, signed by ECDSA P-256, as the
-- layers of an image with the tag sha256-DIGEST.sig beside the one that is signed.

local verify = require("bpf.core").signature.verify
local base64 = require "bpf.base64"
local error_object = require "bpf.error"
local json = require "bpf.json"
local key = require "bpf.image.key"
local reference = require "bpf.registry.reference"

local signature = {}

signature.payload_type = "application/vnd.dev.cosign.simplesigning.v1+json"
signature.annotation = "dev.cosignproject.cosign/signature"
signature.kind = "cosign container image signature"

local AT_MOST <const> = 64 -- signatures of one image that are looked at
local LARGEST <const> = 64 * 1024 -- bytes of a payload

---@class bpf.image.signature
---@field payload string    as it was signed
---@field signature string  DER

--- What a registry has of signatures for one digest, in the form in which it can be stored.
---@class bpf.image.signatures
---@field manifest bpf.registry.manifest
---@field payloads table<string, string>   by digest: the blobs of its layers
---@field list bpf.image.signature[]

local function refuse(code, message)
  return nil, error_object.new { code = code, message = message }
end

--- The tag beside an image at which its signatures stand.
---@param digest string  sha256:...
---@return string        sha256-....sig
function signature.tag(digest)
  return digest:gsub(":", "-", 1) .. ".sig"
end

-- Of the layers only those that are signatures; attestations may stand among them.
local function layers_of(manifest)
  local value, err = json.decode(manifest.bytes)
  if type(value) ~= "table" or type(value.layers) ~= "table" then
    return refuse("EBADMSG", "malformed manifest of signatures: "
      .. (err and err.message or "it has no layers"))
  end
  local layers = {}
  for _, layer in ipairs(value.layers) do
    local notes <const> = type(layer) == "table" and layer.mediaType == signature.payload_type
      and layer.annotations
    local text <const> = type(notes) == "table" and notes[signature.annotation]
    local signed <const> = type(text) == "string" and base64.decode(text)
    if signed and type(layer.digest) == "string" and math.type(layer.size) == "integer"
        and #layers < AT_MOST then
      layers[#layers + 1] = { digest = layer.digest, size = layer.size, signature = signed }
    end
  end
  return layers
end

--- Reads a stored or fetched manifest of signatures.
---@param manifest bpf.registry.manifest
---@param payloads table<string, string>  by digest
---@return bpf.image.signatures?
---@return bpf.error?
function signature.read(manifest, payloads)
  local layers, err = layers_of(manifest)
  if not layers then return nil, err end
  local list = {}
  for _, layer in ipairs(layers) do
    local payload <const> = payloads[layer.digest]
    if payload then list[#list + 1] = { payload = payload, signature = layer.signature } end
  end
  return { manifest = manifest, payloads = payloads, list = list }
end

-- What is not there or not what it should be is as good as no signature; a registry that does not
-- answer is an error.
local lacking <const> = { ENOENT = true, EBADMSG = true, EFBIG = true }

local function fetch_one(session, digest)
  local manifest, err = session:manifest(signature.tag(digest))
  if not manifest then return nil, not lacking[err.code] and err or nil end
  local payloads = {}
  for _, layer in ipairs(layers_of(manifest) or {}) do
    if layer.size <= LARGEST then
      payloads[layer.digest], err = session:blob_bytes(layer.digest, layer.size)
      if err and not lacking[err.code] then return nil, err end
    end
  end
  return signature.read(manifest, payloads)
end

--- What the registry has for any of these digests (an index's and the chosen manifest's): a list,
--- empty without any.
---@param session bpf.registry.session
---@param digests string[]
---@return bpf.image.signatures[]?
---@return bpf.error?
function signature.fetch(session, digests)
  local found = {}
  for _, digest in ipairs(digests) do
    local one, err = fetch_one(session, digest)
    if err then return nil, err:because("looking for signatures") end
    found[#found + 1] = one
  end
  return found
end

-- Whether a payload, whose signature is good, is about the image in hand.
local function is_about(payload, options)
  local value <const> = json.decode(payload)
  local critical <const> = type(value) == "table" and value.critical
  local identity <const> = type(critical) == "table" and critical.identity
  local image <const> = type(critical) == "table" and critical.image
  if type(identity) ~= "table" or type(image) ~= "table" or critical.type ~= signature.kind then
    return false, "it is no signature of an image"
  end
  local name <const> = identity["docker-reference"]
  local signed <const> = type(name) == "string" and reference.parse(name)
  if not signed or signed:name() ~= options.reference:name() then
    return false, ("it is of another repository, %s"):format(tostring(name))
  end
  for _, digest in ipairs(options.digests) do
    if image["docker-manifest-digest"] == digest then return true end
  end
  return false, "it is of another digest"
end

local function is_good(each, options, keys)
  for _, public in ipairs(keys) do
    local good, err = verify(public, each.payload, each.signature)
    if good == nil then return nil, err end
    if good then return is_about(each.payload, options) end
  end
  return false, "it is by another key"
end

--- Whether one of the signatures is good: made with the key, for one of these digests, of this
--- repository.
---@param options { reference: bpf.reference, digests: string[],
---  signatures: bpf.image.signatures[], key: string }  key: PEM; one of several may stand in it
---@return true?
---@return bpf.error?  says of each signature why not
function signature.verify(options)
  local keys, err = key.public(options.key)
  if not keys then return nil, err end
  local reasons, seen = {}, {}
  for _, set in ipairs(options.signatures) do
    for _, each in ipairs(set.list) do
      local good, why = is_good(each, options, keys)
      if good then return true end
      if good == nil then return nil, why end
      if not seen[why] then reasons[#reasons + 1] = why end
      seen[why] = true
    end
  end
  if #reasons == 0 then return refuse("ENOKEY", "the image is not signed") end
  return refuse("EKEYREJECTED", "no signature of the image is good: "
    .. table.concat(reasons, "; "))
end

--- The rules of the configuration.
---@param configured table[]
---@return table? rules
---@return bpf.error?
function signature.rules(configured)
  return require("bpf.image.signature_rules").new(configured)
end

return signature
