-- Images in registries, by the OCI distribution protocol: manifests and blobs, fetched and pushed.
-- Everything waits until it is done: the daemon uses it in a job, a script as it is.
-- luacheck: ignore 212 (a skeleton: the signatures first)

local registry = {}

---@class bpf.registry.settings
---@field registries table<string, { plain_http: boolean?, ca: string? }>?  as the configuration has
---  them, by HOST or HOST:PORT: also those that a redirect leads to
---@field timeout number?   seconds to connect in, and without a byte; 30
---@field total number?     seconds for one request with all of its body; 3600

---@class bpf.registry.credentials
---@field username string
---@field password string

---@class bpf.registry.options
---@field reference bpf.reference
---@field credentials bpf.registry.credentials?        absent: anonymous
---@field settings bpf.registry.settings?
---@field progress fun(done: integer, total: integer)? bytes of the blob on its way
---@field cancelled (fun(): boolean)?                  asked while it waits; true ends the request

---@class bpf.registry.manifest
---@field bytes string
---@field media_type string   of the manifest itself where it names one, else as the registry says
---@field digest string       of these very bytes; checked against what was asked for
---@field size integer

---@class bpf.registry.session
local session = {}

--- A manifest or an index. Without a version the reference's own.
---@param version string?  a tag or a digest
---@return bpf.registry.manifest?
---@return bpf.error?   code ENOENT: the registry has no such tag or digest, or no such repository
function session:manifest(version) end

--- Fetches a blob into a file and checks its digest. What stands there already (of the file, or as
--- `offset` says) is kept and the rest is asked for. After a failure the file has what came, and a
--- later call goes on from there; only where the digest is wrong it is empty.
---@param digest string
---@param size integer              as the manifest tells; not a byte more is taken
---@param into string|integer|table a path (made with mode 0600), or a descriptor to read and write
---@param options { offset: integer? }?
---@return true?
---@return bpf.error?
function session:blob(digest, size, into, options) end

--- A small blob, such as an image's configuration, as bytes.
---@param digest string
---@param size integer  at most 4 MiB
---@return string?
---@return bpf.error?
function session:blob_bytes(digest, size) end

---@param digest string
---@return boolean? there, bpf.error? err  nil: it cannot be told
function session:has_blob(digest) end

--- Uploads a blob unless the registry has it.
---@param digest string
---@param size integer
---@param from string|integer|table  { bytes = string }, a path or a descriptor
---@return true?
---@return bpf.error?
function session:push_blob(digest, size, from) end

--- Uploads a manifest or an index; what it names must be there.
---@param version string  a tag or a digest
---@param bytes string
---@param media_type string
---@return string? digest
---@return bpf.error?
function session:push_manifest(version, bytes, media_type) end

function session:close() end

--- Begins to talk to the registry of a reference; nothing is sent yet.
---@param options bpf.registry.options
---@return bpf.registry.session?
---@return bpf.error?
function registry.open(options)
  return setmetatable({ options = options }, { __index = session })
end

return registry
