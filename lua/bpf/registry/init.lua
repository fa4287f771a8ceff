-- Images in registries, by the OCI distribution protocol: manifests and blobs, fetched and pushed.
-- Everything waits until it is done: the daemon uses it in a job, a script as it is.

local system = require("bpf.core").system
local authorization = require "bpf.registry.authorization"
local blob = require "bpf.registry.blob"
local error_object = require "bpf.error"
local http = require "bpf.registry.http"
local json = require "bpf.json"
local media_types = require "bpf.registry.media_types"
local nearest = require "bpf.nearest"
local request = require "bpf.registry.request"
local refusal = require "bpf.registry.refusal"
local upload = require "bpf.registry.upload"

local registry = {}

local MANIFEST <const> = 4 * 1024 * 1024 -- bytes, as registries have it

registry.parse = require("bpf.registry.reference").parse

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
---@field wait fun(seconds: number)?                   in place of the clock's

---@class bpf.registry.manifest
---@field bytes string
---@field media_type string   of the manifest itself where it names one, else as the registry says
---@field digest string       of these very bytes; checked against what was asked for
---@field size integer

---@class bpf.registry.session
local session = {}
local metatable = { __index = session }

-- The manifest names its own media type; where it does not, the registry's word counts.
local function media_type_of(answer)
  local value <const> = json.decode(answer.body)
  if type(value) ~= "table" then
    return nil, error_object.new { code = "EBADMSG", message = "the manifest is no JSON object" }
  end
  local told <const> = (answer.header "content-type" or ""):match "^[^;%s]*"
  local own <const> = value.mediaType
  local media_type <const> = type(own) == "string" and own or told
  if value.schemaVersion == 1 or media_types.is_schema1(told) then
    return nil, error_object.new {
      code = "ENOTSUP", message = "the manifest has Docker's schema 1, which is not read",
      advice = "push the image again with a tool of this decade: skopeo copy --format oci",
    }
  end
  if media_types.is_manifest(media_type) or media_types.is_index(media_type) then
    return media_type
  end
  return nil, error_object.new { code = "ENOTSUP",
    message = ("the manifest has the media type '%s', which is not read"):format(media_type) }
end

-- What was asked for by digest must have it, and what a registry tells of a tag must be true.
local function digest_of(answer, version)
  local hexadecimal, err = system.sha256(answer.body)
  if not hexadecimal then return nil, err end
  local digest <const> = "sha256:" .. hexadecimal
  local told <const> = version:find(":", 1, true) and version
    or answer.header "docker-content-digest" or digest
  if told == digest or not told:find "^sha256:" then return digest end
  return nil, error_object.new { code = "EBADMSG",
    message = ("what came has the digest %s, not %s"):format(digest, told) }
end

local function fetch_manifest(self, version)
  local answer, err = request.ask(self, {
    method = "GET", path = "/manifests/" .. version, actions = "pull", limit = MANIFEST,
    headers = { "Accept: " .. media_types.accepted },
  })
  if not answer then return nil, err end
  if answer.status ~= 200 then return nil, refusal(answer) end
  local digest, media_type
  digest, err = digest_of(answer, version)
  if digest then media_type, err = media_type_of(answer) end
  if not media_type then return nil, err end
  return { bytes = answer.body, media_type = media_type, digest = digest, size = #answer.body }
end

--- A manifest or an index. Without a version the reference's own.
---@param version string?  a tag or a digest
---@return bpf.registry.manifest?
---@return bpf.error?   code ENOENT: the registry has no such tag or digest, or no such repository
function session:manifest(version)
  local manifest, err = fetch_manifest(self, version or self.reference:version())
  if manifest then return manifest end
  return request.failed(self, err, "fetching the manifest of", version)
end

--- Fetches a blob into a file and checks its digest. What stands there already is kept and the rest
--- is asked for. After a failure the file has what came, and a later call goes on from there; only
--- where the digest is wrong it is empty.
---@param digest string
---@param size integer              as the manifest tells; not a byte more is taken
---@param into string|integer|table a path (made with mode 0600), or a descriptor to read and write
---@param options { offset: integer? }?  the bytes of the file that count; fewer than there are, and
---  it starts anew
---@return true?
---@return bpf.error?
function session:blob(digest, size, into, options)
  return blob.fetch(self, digest, size, into, options)
end

--- A small blob, such as an image's configuration, as bytes.
---@param digest string
---@param size integer  at most 4 MiB
---@return string?
---@return bpf.error?
function session:blob_bytes(digest, size)
  return blob.fetch_bytes(self, digest, size, MANIFEST)
end

---@param digest string
---@return boolean? there, bpf.error? err  nil: it cannot be told
function session:has_blob(digest)
  return upload.has_blob(self, digest)
end

--- Uploads a blob unless the registry has it.
---@param digest string
---@param size integer
---@param from string|integer|table  { bytes = string }, a path or a descriptor
---@return true?
---@return bpf.error?
function session:push_blob(digest, size, from)
  return upload.push_blob(self, digest, size, from)
end

--- Uploads a manifest or an index; what it names must be there.
---@param version string  a tag or a digest
---@param bytes string
---@param media_type string
---@return string? digest
---@return bpf.error?
function session:push_manifest(version, bytes, media_type)
  return upload.push_manifest(self, version, bytes, media_type)
end

function session:close()
  self.http:close()
end

metatable.__close = session.close

local known <const> = { "reference", "credentials", "settings", "progress", "cancelled", "wait" }
local known_settings <const> = { "registries", "timeout", "total" }

local function check_keys(value, names, what)
  local is_known = {}
  for _, name in ipairs(names) do is_known[name] = true end
  for key in pairs(value or {}) do
    if not is_known[key] then
      error(("%s has no key %s; did you mean %s?"):format(what, tostring(key),
        nearest(tostring(key), names)), 3)
    end
  end
end

--- Begins to talk to the registry of a reference; nothing is sent yet.
---@param options bpf.registry.options
---@return bpf.registry.session?
---@return bpf.error?
function registry.open(options)
  check_keys(options, known, "a session with a registry")
  check_keys(options.settings, known_settings, "settings")
  local client, err = http.open(options)
  if not client then return nil, err end
  local reference <const> = options.reference
  return setmetatable({
    http = client, reference = reference, progress = options.progress,
    repository = ("%s://%s/v2/%s"):format(client:scheme(reference.registry),
      http.host(reference.registry), reference.repository),
    authorization = authorization.new {
      http = client, reference = reference, credentials = options.credentials,
    },
  }, metatable)
end

return registry
