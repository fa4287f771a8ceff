-- Images that declarations name: which image that is now, and what is in it.

local error_object = require "bpf.error"
local images = require "bpfd.images"

local declared_images = {}

-- In a job.
local function look_into(wish, name)
  local sealed, facts = require("bpfd.image_source").open(wish, name)
  if not sealed then return nil, facts end
  return { name = facts.note.name, object = facts.digest, image = facts.note.image_digest }
end

--- Fetches the image of an entry, if the pull policy says so, and notes in the entry what it is:
--- name, digest of the object, image_digest.
---@param entry bpf.declared_program
---@param wish bpfd.image_wish
---@return true? ok, bpf.error? err
function declared_images.resolve(daemon, request, entry, wish)
  local facts, err = images.with(daemon, request, wish, function(digest)
    local found = {}
    for key, value in pairs(wish) do found[key] = value end
    found.digest = digest
    return request:run(function() return look_into(found, entry.name) end)
  end)
  if not facts then return nil, err end
  entry.name, entry.digest, entry.image_digest = facts.name, facts.object, facts.image
  return true
end

--- The image of an entry that is resolved already: the same bytes, whatever its tag means now.
---@return bpfd.image_wish? wish, bpf.error? err
function declared_images.resolved(daemon, entry)
  local wish, err = images.wish(daemon, { image_url = entry.image_url,
    pull_policy = entry.pull_policy })
  if not wish then return nil, err end
  if not entry.image_digest then
    return nil, error_object.new { code = "ENODATA",
      message = "nobody has looked up which image " .. entry.image_url .. " is" }
  end
  wish.digest = entry.image_digest
  return wish
end

return declared_images
