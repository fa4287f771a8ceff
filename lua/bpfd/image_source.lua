-- An image as the source of a load, in a job: its object out of the store, the rules about
-- signatures asked again each time, the program's name by its labels.

local labels = require "bpf.image.labels"
local prune = require "bpf.image.prune"
local reference = require "bpf.registry.reference"
local signature = require "bpf.image.signature"
local signed = require "bpf.image.signed"
local store = require "bpf.image.store"
local stored = require "bpf.image.stored"
local error_object = require "bpf.error"

local image_source = {}

---@class bpfd.image_wish
---@field url string          as the user wrote it
---@field reference bpf.reference?  of that; a load reads it again
---@field policy string
---@field digest string?      the image that was pulled for this load
---@field store string        path
---@field object_size integer
---@field signatures table[]  the rules of the configuration

local function decide(opened, wish, wanted, image)
  local rules, err = signature.rules(wish.signatures)
  if not rules then return nil, err end
  local decision, unknown
  decision, err, unknown = signed.decide(opened, wanted, image, rules)
  if decision or not unknown then return decision, err end
  local fields = { code = "ENODATA" } -- a registry may have one
  for key, value in pairs(err) do fields[key] = fields[key] or value end
  return nil, error_object.new(fields)
end

--- The object, and what is to be noted of the image.
---@param wish bpfd.image_wish
---@param name string?  the program that the user wants
---@return table? sealed, { digest: string, note: table }|bpf.error facts  digest: of the object
---  ENODATA: the store has it not, not whole, or without a signature that a rule requires
function image_source.open(wish, name)
  local wanted, err = reference.parse(wish.url)
  if not wanted then return nil, err end
  local opened
  opened, err = store.open(wish.store)
  if not opened then return nil, err end
  local image
  image, err = stored.find(opened, { reference = wanted:text(), digest = wish.digest,
    object_size = wish.object_size })
  if not image then return nil, err end
  local decision
  decision, err = decide(opened, wish, wanted, image)
  if not decision then return nil, err end
  if not name then
    name, err = labels.only_program(image.labels)
    if not name then return nil, err end
  end
  local sealed, object = stored.object(opened, image, wish.object_size)
  if not sealed then return nil, object end
  prune.touch(opened, image.digest)
  return sealed, { digest = object.digest, note = { name = name, image_url = wish.url,
    pull_policy = wish.policy, image_digest = image.digest, signed_by = decision.signed_by } }
end

return image_source
