-- What is read of an image: its index, manifest and configuration, the labels in that, and what a
-- user's file of passwords has for its registry. The first letter says which.

local check = require "fuzz.check"
local credentials = require "bpf.registry.credentials"
local index = require "bpf.registry.index"
local json = require "bpf.json"
local labels = require "bpf.image.labels"
local manifest = require "bpf.image.manifest"
local reference = require "bpf.registry.reference"

local OBJECT_SIZE <const> = 1 << 20
local of <const> = assert(reference.parse "quay.io/acme/guard:1")
local file <const> = os.tmpname()

local function read_index(bytes)
  if not check.result(index.read(bytes)) then return end
  check.result(index.choose(bytes, { os = "linux", architecture = "arm64", variant = "v8" }))
end

local function read_manifest(bytes)
  local read <const> = check.result(manifest.read(bytes, OBJECT_SIZE))
  if read then assert(manifest.is_digest(read.layer.digest) and read.layer.size >= 0) end
end

local function read_config(bytes)
  local read <const> = check.result(manifest.read_config(bytes))
  local found <const> = read and check.result(labels.read(read.labels))
  if not found then return end
  check.result(labels.only_program(found))
  check.result(labels.only_object({ { path = "a.o" }, { path = "./b/c.o" } }, found.filename))
  assert(json.encode(found))
end

local function read_passwords(bytes)
  local written <close> = assert(io.open(file, "wb"))
  written:write(bytes)
  written:flush()
  local found, err = credentials.find(of, function(name)
    return name == "REGISTRY_AUTH_FILE" and file or nil
  end)
  if err then check.refusal(err) end
  if found then check.result(credentials.decode(credentials.encode(found))) end
end

local readers <const> = { i = read_index, m = read_manifest, c = read_config, p = read_passwords }

return function(bytes)
  local read <const> = readers[bytes:sub(1, 1)] or read_manifest
  read(bytes:sub(2))
end
