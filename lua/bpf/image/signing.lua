-- Signs images in registries with a local key, so that cosign and skopeo accept it too.

local core = require "bpf.core"
local base64 = require "bpf.base64"
local index = require "bpf.registry.index"
local json = require "bpf.json"
local media_types = require "bpf.registry.media_types"
local signature = require "bpf.image.signature"

local signing = {}

-- With the tag, as skopeo has it: its default policy wants the very reference that is pulled.
local function new_payload(reference, digest)
  return json.encode {
    critical = {
      identity = { ["docker-reference"] = reference:name()
        .. (reference.tag and ":" .. reference.tag or "") },
      image = { ["docker-manifest-digest"] = digest },
      type = signature.kind,
    },
    optional = { creator = "bpfd " .. core.system.version,
      timestamp = core.system.clock() // 1000000000 },
  }
end

local function describe(media_type, bytes)
  return { mediaType = media_type, digest = "sha256:" .. assert(core.system.sha256(bytes)),
    size = #bytes }
end

-- A manifest with one layer more, and the configuration that it must name.
local function with_layer(earlier, layer)
  local layers, digests = {}, {}
  for _, each in ipairs(earlier and json.decode(earlier.bytes).layers or {}) do
    if type(each) == "table" then layers[#layers + 1] = each end
  end
  layers[#layers + 1] = layer
  for place, each in ipairs(layers) do digests[place] = each.digest end
  local config <const> = json.encode({
    architecture = "", os = "", config = json.object {},
    rootfs = { type = "layers", diff_ids = digests },
  }, { sorted = true })
  return config, json.encode({
    schemaVersion = 2, mediaType = media_types.manifest,
    config = describe(media_types.config, config), layers = layers,
  }, { sorted = true })
end

local function push(session, tag, earlier, payload, signed)
  local layer <const> = describe(signature.payload_type, payload)
  layer.annotations = { [signature.annotation] = base64.encode(signed) }
  local config <const>, manifest <const> = with_layer(earlier, layer)
  local good, err = session:push_blob(layer.digest, layer.size, { bytes = payload })
  if good then
    local digest <const> = describe(media_types.config, config).digest
    good, err = session:push_blob(digest, #config, { bytes = config })
  end
  if good then good, err = session:push_manifest(tag, manifest, media_types.manifest) end
  return good and true, err
end

local function sign_one(session, private, digest)
  local payload <const> = new_payload(session.reference, digest)
  local signed, err = core.signature.sign(private, payload)
  if not signed then return nil, err end
  local earlier
  earlier, err = signature.fetch(session, { digest })
  if not earlier then return nil, err end
  return push(session, signature.tag(digest), earlier[1] and earlier[1].manifest, payload, signed)
end

-- Of an index also what it names: other tools look at the manifest that they have chosen.
local function digests_of(manifest)
  local digests = { manifest.digest }
  if not media_types.is_index(manifest.media_type) then return digests end
  local children, err = index.read(manifest.bytes)
  if not children then return nil, err end
  for _, each in ipairs(children) do digests[#digests + 1] = each.digest end
  return digests
end

--- Signs what the session's reference stands for now, and pushes the signatures beside it; earlier
--- ones stay.
---@param session bpf.registry.session
---@param private string  of bpf.image.key
---@return { image_url: string, digest: string, signed: string[] }?  signed: digests
---@return bpf.error?
function signing.sign(session, private)
  local manifest, err = session:manifest()
  if not manifest then return nil, err end
  local digests
  digests, err = digests_of(manifest)
  for _, digest in ipairs(digests or {}) do
    local good
    good, err = sign_one(session, private, digest)
    if not good then return nil, err:because("signing " .. session.reference:text()) end
  end
  if not digests then return nil, err end
  return { image_url = session.reference:text(), digest = manifest.digest, signed = digests }
end

return signing
