-- Layers of images: which are read, and how much of one at most.

local core = require "bpf.core"
local error_object = require "bpf.error"

local layer = {}

local ENTRIES <const> = 1000 -- a bytecode image has a handful
local OBJECTS <const> = 16
local AROUND <const> = 64 << 20 -- bytes that a layer may have beside one object of full size

layer.media_type = "application/vnd.oci.image.layer.v1.tar+gzip"

local media_types <const> = {
  ["application/vnd.oci.image.layer.v1.tar"] = true,
  [layer.media_type] = true,
  ["application/vnd.oci.image.layer.v1.tar+zstd"] = true,
  ["application/vnd.docker.image.rootfs.diff.tar"] = true,
  ["application/vnd.docker.image.rootfs.diff.tar.gzip"] = true,
  ["application/vnd.docker.image.rootfs.diff.tar.zstd"] = true,
}

--- Whether layers of this media type can be unpacked here.
---@param media_type string
---@return boolean
function layer.is_readable(media_type) return media_types[media_type] == true end

--- Most bytes of a layer, packed or unpacked, where an object may have that many.
---@param object_size integer
---@return integer
function layer.limit(object_size) return object_size + AROUND end

local faults <const> = {
  broken = function(complaint)
    if complaint.words == "" then return "it is no tar archive" end
    return "it is no whole tar archive: " .. complaint.words
  end,
  nested = function() return "it is compressed twice" end,
  nameless = function() return "it has an entry whose name cannot be read" end,
  absolute = function(complaint)
    return ("its entry %s has an absolute path"):format(complaint.entry)
  end,
  above = function(complaint) return ("its entry %s leads out of it"):format(complaint.entry) end,
  link = function(complaint) return ("its entry %s is a link"):format(complaint.entry) end,
  device = function(complaint)
    return ("its entry %s is neither file nor directory"):format(complaint.entry)
  end,
  many = function() return ("it has more than %d entries"):format(ENTRIES) end,
  large = function(_, object_size)
    return ("it unpacks to more than %d bytes"):format(layer.limit(object_size))
  end,
  large_object = function(complaint, object_size)
    return ("its object %s is larger than %d bytes (images.object_size)"):format(complaint.entry,
      object_size)
  end,
  many_objects = function() return ("it has more than %d eBPF objects"):format(OBJECTS) end,
}

---@class bpf.image.object
---@field path string      in the layer
---@field size integer
---@field object table     a descriptor of sealed memory

--- The eBPF objects of a layer, a tar archive that may be compressed. Nothing is written where the
--- archive says, and one with entries that have no place in such a layer is refused.
---@param descriptor table   of the layer, at its beginning
---@param object_size integer  most bytes of one object
---@return bpf.image.object[]?
---@return bpf.error?
function layer.read(descriptor, object_size)
  local objects, err, complaint = core.layer.read(descriptor, {
    object_size = object_size, unpacked = layer.limit(object_size), entries = ENTRIES,
    objects = OBJECTS,
  })
  if objects then return objects end
  if not complaint then return nil, err end
  return nil, error_object.new {
    code = "EBADMSG",
    message = "its layer is refused: " .. faults[complaint.fault](complaint, object_size),
  }
end

return layer
