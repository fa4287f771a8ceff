-- Puts images of a store, or of any OCI layout, into registries.

local error_object = require "bpf.error"
local json = require "bpf.json"
local catalog = require "bpf.image.catalog"
local manifest = require "bpf.image.manifest"
local registry = require "bpf.registry"

local push = {}

-- By its whole name; in layouts that others have written by its tag, or as the only one.
local function find(store, reference)
  local descriptor, err = catalog.find(store, { reference = reference:text() })
  if descriptor or err then return descriptor, err end
  local entries
  entries, err = catalog.entries(store)
  if not entries then return nil, err end
  for _, entry in ipairs(entries) do
    if entry.reference and entry.reference == reference.tag then return entry.descriptor end
  end
  if #entries == 1 and not entries[1].reference then return entries[1].descriptor end
  return nil, error_object.new { code = "ENOENT",
    message = "the image is not in " .. store.path }
end

local function push_blob(self, descriptor, shows)
  self.shows = shows
  local file <close>, err = self.store:open_blob(descriptor.digest)
  if not file then return nil, err end
  return self.session:push_blob(descriptor.digest, descriptor.size, file)
end

local push_document

local function push_children(self, value)
  local good, err = true, nil
  for _, each in ipairs(value.manifests or {}) do
    if good then good, err = push_document(self, each, each.digest) end
  end
  for _, each in ipairs(value.layers or {}) do
    if good then good, err = push_blob(self, each, true) end
  end
  if good and value.config then good, err = push_blob(self, value.config) end
  return good, err
end

-- What it names first, then itself.
function push_document(self, descriptor, version)
  local bytes, err = self.store:read(descriptor.digest, manifest.size_limit)
  if not bytes then
    if err.code == "ENODATA" and descriptor.platform then
      return nil, err:with_advice "images for several platforms are pushed where they were built"
    end
    return nil, err
  end
  local value
  value, err = json.decode(bytes)
  if not value then return nil, err end
  local good
  good, err = push_children(self, value)
  if not good then return nil, err end
  return self.session:push_manifest(version, bytes, value.mediaType or descriptor.mediaType)
end

---@class bpf.image.push_options
---@field store bpf.image.store
---@field reference bpf.reference
---@field credentials bpf.registry.credentials?
---@field settings bpf.registry.settings?
---@field progress (fun(done: integer, total: integer))?  bytes of a layer

-- Errors of the registry name the image already.
local function named(err, name)
  if err.doing and err.doing:find(name, 1, true) then return err end
  return err:because("pushing " .. name)
end

--- Pushes an image with everything that it names.
---@param options bpf.image.push_options
---@return { image_url: string, digest: string }?
---@return bpf.error?
function push.run(options)
  local reference <const> = options.reference
  local name <const> = reference:text()
  local descriptor, err = find(options.store, reference)
  if not descriptor then return nil, named(err, name) end
  local self = { store = options.store }
  self.session, err = registry.open {
    reference = reference, credentials = options.credentials, settings = options.settings,
    progress = function(done, total)
      if self.shows and options.progress then options.progress(done, total) end
    end,
  }
  if not self.session then return nil, named(err, name) end
  local digest
  digest, err = push_document(self, descriptor, reference:version())
  self.session:close()
  if not digest then return nil, named(err, name) end
  return { image_url = name, digest = descriptor.digest }
end

return push
