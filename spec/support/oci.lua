-- Images of a spec's own in an OCI layout: by umoci, as an author without bpfctl would make them,
-- and out of any layer, as nobody should.
local json = require "bpf.json"
local image = require "bpf.image"
local process = require "spec.support.process"
local tar = require "spec.support.tar"

local oci = {}

---An image by umoci with files in its one layer.
---@param layout string
---@param tag string
---@param files table<string, string>   place in the layer -> path
---@param labels table<string, string>
function oci.by_umoci(layout, tag, files, labels)
  if process.run({ "test", "-e", layout }).exit ~= 0 then
    process.check { "umoci", "init", "--layout", layout }
  end
  local name = layout .. ":" .. tag
  process.check { "umoci", "new", "--image", name }
  local order = {}
  for place in pairs(files) do order[#order + 1] = place end
  table.sort(order)
  for _, place in ipairs(order) do
    process.check { "umoci", "insert", "--image", name, files[place], place }
  end
  local line = { "umoci", "config", "--image", name }
  for key, value in pairs(labels) do
    line[#line + 1], line[#line + 2] = "--config.label", key .. "=" .. value
  end
  process.check(line)
end

local OCI <const> = "application/vnd.oci.image."

---@class spec.oci.parts
---@field layers string[]?        bytes, gzipped tars
---@field media_type string?      of the layers
---@field labels table?           of the configuration
---@field config string?          its bytes
---@field architecture string?

---Puts an image into a layout whatever is in it, and names it.
---@param layout string
---@param name string      whole reference
---@param parts spec.oci.parts
---@return string digest
function oci.put(layout, name, parts)
  local store = assert(image.store.open(layout))
  local config = parts.config or json.encode {
    architecture = parts.architecture or "amd64", os = "linux",
    config = { Labels = json.object(parts.labels or {}) },
    rootfs = { type = "layers", diff_ids = json.object and {} },
  }
  local layers = {}
  for place, bytes in ipairs(parts.layers or {}) do
    layers[place] = { mediaType = parts.media_type or OCI .. "layer.v1.tar+gzip",
      digest = assert(store:put(bytes)), size = #bytes }
  end
  local manifest = json.encode {
    schemaVersion = 2, mediaType = OCI .. "manifest.v1+json", layers = layers,
    config = { mediaType = OCI .. "config.v1+json", digest = assert(store:put(config)),
      size = #config },
  }
  local digest = assert(store:put(manifest))
  assert(image.catalog.name(store, name, { mediaType = OCI .. "manifest.v1+json", digest = digest,
    size = #manifest }, { digest }))
  return digest
end

---A gzipped layer of these entries.
---@param entries spec.tar.entry[]
function oci.layer(entries) return tar.gzip(tar.archive(entries)) end

return oci
