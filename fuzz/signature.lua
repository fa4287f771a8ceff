-- Signatures of images and keys, as they come from registries and users: the manifest beside an
-- image, payloads, DER, PEM, and private keys behind a passphrase. The first letter says which.

local check = require "fuzz.check"
local core = require "bpf.core"
local key = require "bpf.image.key"
local reference = require "bpf.registry.reference"
local signature = require "bpf.image.signature"

local own_private <const>, own_public <const> = core.signature.generate()
local of <const> = assert(reference.parse "quay.io/acme/guard:1")
local digest <const> = "sha256:" .. ("0"):rep(64)

local function verify(list)
  check.result(signature.verify { reference = of, digests = { digest }, key = own_public,
    signatures = { { list = list } } })
end

local function read_manifest(bytes)
  local read <const> = check.result(signature.read({ bytes = bytes }, { [digest] = "{}" }))
  if read then verify(read.list) end
end

-- A payload whose signature is good is what is looked into.
local function read_payload(bytes)
  verify { { payload = bytes, signature = assert(core.signature.sign(own_private, bytes)) } }
end

local function read_der(bytes) verify { { payload = "{}", signature = bytes } } end

local function read_public(bytes) check.result(key.public(bytes)) end

-- A key's own word says how long and in how much memory it is made: core/secretbox.c limits that.
core.signature.box_key = function(passphrase, salt, n, r, p)
  assert(type(passphrase) == "string" and type(salt) == "string"
    and math.type(n + r + p) == "integer")
  return ("k"):rep(32)
end

local function read_private(bytes)
  local private <const> = check.result(key.private(bytes, "secret"))
  if private then check.result(core.signature.sign(private, "x")) end
end

local readers <const> = { m = read_manifest, p = read_payload, d = read_der, k = read_public,
  s = read_private }

return function(bytes)
  local read <const> = readers[bytes:sub(1, 1)] or read_payload
  read(bytes:sub(2))
end
