-- Signatures of images in cosign's form: a simple-signing payload, signed by ECDSA P-256, as the
-- layers of an image with the tag sha256-DIGEST.sig beside the one that is signed.
-- luacheck: ignore 212 (a skeleton: the signatures first)

local signature = {}

---@class bpf.image.signature
---@field payload string    as it was signed
---@field signature string  DER

--- What a registry has of signatures for one digest, in the form in which it can be stored.
---@class bpf.image.signatures
---@field manifest bpf.registry.manifest
---@field payloads table<string, string>   by digest: the blobs of its layers
---@field list bpf.image.signature[]

---@class bpf.image.decision
---@field decision "signed"|"unsigned"|"off"
---@field signed_by string?  the path of the key that verified it
---@field reason string      a sentence

--- The tag beside an image at which its signatures stand.
---@param digest string  sha256:...
---@return string        sha256-....sig
function signature.tag(digest) end

--- Reads a stored or fetched signature manifest.
---@param manifest bpf.registry.manifest
---@param payloads table<string, string>  by digest
---@return bpf.image.signatures?
---@return bpf.error?
function signature.read(manifest, payloads) end

--- What the registry has for any of these digests (an index's and the chosen manifest's): a list,
--- empty without any.
---@param session bpf.registry.session
---@param digests string[]
---@return bpf.image.signatures[]?
---@return bpf.error?
function signature.fetch(session, digests) end

--- Whether one of the signatures is good: made with the key, for one of these digests, of this
--- repository.
---@param options { reference: bpf.reference, digests: string[],
---  signatures: bpf.image.signatures[], key: string }  key: PEM
---@return true?
---@return bpf.error?  says of each signature why not
function signature.verify(options) end

--- Signs a digest and pushes the signature beside it; earlier ones stay.
---@param session bpf.registry.session
---@param options { reference: bpf.reference, digest: string, key: string, passphrase: string? }
---@return true?
---@return bpf.error?
function signature.sign(session, options) end

---@class bpf.image.signature_rules
local rules = {}

--- The rules of the configuration; the keys are read now.
---@param configured { match: string, require: "required"|"optional"|"off", key: string? }[]
---@return bpf.image.signature_rules?
---@return bpf.error?  a key that cannot be read
function signature.rules(configured) return setmetatable({ configured }, { __index = rules }) end

--- Whether signatures must be fetched at all for this reference.
---@param reference bpf.reference
---@return boolean
function rules:wants(reference) end

--- Decides. Nil where the rule requires a signature and none is good.
---@param reference bpf.reference
---@param digests string[]
---@param signatures bpf.image.signatures[]
---@return bpf.image.decision?
---@return bpf.error?
function rules:decide(reference, digests, signatures) end

return signature
