-- What registries call manifests and indexes.

local media_types = {}

media_types.manifest = "application/vnd.oci.image.manifest.v1+json"
media_types.index = "application/vnd.oci.image.index.v1+json"
media_types.config = "application/vnd.oci.image.config.v1+json"

local docker_manifest <const> = "application/vnd.docker.distribution.manifest.v2+json"
local docker_index <const> = "application/vnd.docker.distribution.manifest.list.v2+json"

local manifests <const> = { [media_types.manifest] = true, [docker_manifest] = true }
local indexes <const> = { [media_types.index] = true, [docker_index] = true }

--- All that may be asked for, as an Accept header has it.
media_types.accepted = table.concat({
  media_types.manifest, media_types.index, docker_manifest, docker_index,
}, ", ")

---@return boolean
function media_types.is_manifest(media_type) return manifests[media_type] == true end

---@return boolean
function media_types.is_index(media_type) return indexes[media_type] == true end

--- Docker's first format: names no digests of its layers' content, and is signed in its own way.
---@return boolean
function media_types.is_schema1(media_type)
  return media_type:find("^application/vnd%.docker%.distribution%.manifest%.v1%+") ~= nil
end

return media_types
