-- Blobs and manifests to a registry.

local system = require("bpf.core").system
local transfer = require("bpf.core").transfer
local blob = require "bpf.registry.blob"
local error_object = require "bpf.error"
local refusal = require "bpf.registry.refusal"
local report = require "bpf.registry.report"
local request = require "bpf.registry.request"

local ANSWER <const> = 64 * 1024 -- bytes

local upload = {}

-- What is sent, and one descriptor to close afterwards.
local function open(from)
  if type(from) == "table" and from.bytes then return from.bytes end
  if type(from) ~= "string" then return from end
  local opened, err = system.open(from, "r")
  if not opened then return nil, err end
  return opened, opened
end

-- The registry says where; the address may have a query already.
local function destination(answer, digest)
  local location <const> = answer.header "location"
  local address = location and transfer.resolve(answer.url, location)
  if not address then
    return nil, error_object.new { code = "EBADMSG",
      message = "the registry does not say where to upload to" }
  end
  local joint <const> = address.url:find("?", 1, true) and "&" or "?"
  return address.url .. joint .. "digest=" .. digest:gsub(":", "%%3A")
end

local function send(self, digest, size, body)
  local answer, err = request.ask(self, {
    method = "POST", path = "/blobs/uploads/", actions = "pull,push", body = "", limit = ANSWER,
  })
  if not answer then return nil, err end
  if answer.status ~= 202 then return nil, refusal(answer) end
  local url
  url, err = destination(answer, digest)
  if not url then return nil, err end
  answer, err = request.ask(self, {
    method = "PUT", url = url, actions = "pull,push", limit = ANSWER,
    headers = { "Content-Type: application/octet-stream" }, body = body, body_size = size,
    progress = report(self.progress, size),
  })
  if not answer then return nil, err end
  if answer.status ~= 201 and answer.status ~= 204 then return nil, refusal(answer) end
  return true
end

--- session:has_blob
function upload.has_blob(self, digest, actions)
  local sound, wrong = blob.check(digest, 0)
  if not sound then return request.failed(self, wrong, "looking for a blob of") end
  local answer, err = request.ask(self, {
    method = "HEAD", path = "/blobs/" .. digest, actions = actions or "pull", limit = ANSWER,
  })
  if answer and (answer.status == 200 or answer.status == 404) then return answer.status == 200 end
  return request.failed(self, answer and refusal(answer) or err, "looking for a blob of")
end

--- session:push_blob
function upload.push_blob(self, digest, size, from)
  local there, err = upload.has_blob(self, digest, "pull,push")
  if there == nil then return nil, err end
  if there then return true end
  local body, opened = open(from)
  if not body then return nil, opened end
  local _ <close> = opened
  local sent
  sent, err = send(self, digest, size, body)
  if sent then return true end
  return request.failed(self, err, ("uploading blob %s of"):format(digest))
end

--- session:push_manifest
function upload.push_manifest(self, version, bytes, media_type)
  local answer, err = request.ask(self, {
    method = "PUT", path = "/manifests/" .. version, actions = "pull,push", limit = ANSWER,
    headers = { "Content-Type: " .. media_type }, body = bytes,
  })
  if not answer or answer.status ~= 201 then
    return request.failed(self, answer and refusal(answer) or err, "uploading the manifest of",
      version)
  end
  return "sha256:" .. assert(system.sha256(bytes))
end

return upload
