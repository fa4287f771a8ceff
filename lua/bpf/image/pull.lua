-- Gets images from registries into a store. Everything waits until it is done: the daemon does it
-- in a job, a script as it is.

local error_object = require "bpf.error"
local catalog = require "bpf.image.catalog"
local labels = require "bpf.image.labels"
local manifest = require "bpf.image.manifest"
local prune = require "bpf.image.prune"
local signed = require "bpf.image.signed"
local stored = require "bpf.image.stored"
local index = require "bpf.registry.index"
local media_types = require "bpf.registry.media_types"
local registry = require "bpf.registry"

local pull = {}

pull.policies = { "Always", "IfNotPresent", "Never" }

local ATTEMPTS <const> = 3 -- somebody may prune while we pull
local SPARE <const> = 600 -- seconds that blobs without an image are left to whoever pulls them

---@class bpf.image.pull_options
---@field store bpf.image.store
---@field reference bpf.reference
---@field policy "Always"|"IfNotPresent"|"Never"|nil   IfNotPresent when left out
---@field credentials bpf.registry.credentials?        absent: anonymous
---@field settings bpf.registry.settings?
---@field rules bpf.image.signature_rules?
---@field object_size integer?                          most bytes of an object
---@field platform bpf.registry.platform?               this machine's when left out
---@field progress (fun(done: integer, total: integer))?  bytes of the layer
---@field keep (fun(): table<string, any>?, bpf.error?)?  digests and names of images that must
---  stay; asked when all has come, which may take its time
---@field size integer?                                 most bytes of the store

-- What the store has is taken only when all of it is sound and signed as the rules want.
local function from_store(options)
  local image, err = stored.find(options.store, {
    reference = options.reference:text(), object_size = options.object_size,
    platform = options.platform,
  })
  if not image then return nil, err end
  local object <close>, chosen = stored.object(options.store, image, options.object_size)
  if not object then return nil, chosen end
  image.object = chosen
  local unknown
  image.decision, err, unknown = signed.decide(options.store, options.reference, image,
    options.rules)
  if not image.decision then return nil, err, unknown end
  return image
end

-- A manifest by its digest: the store's where it has it.
local function manifest_bytes(self, digest)
  local bytes <const> = self.store:read(digest, manifest.size_limit)
  if bytes then return bytes end
  self.store:discard(digest)
  local got, err = self.session:manifest(digest)
  if not got then return nil, err end
  return got.bytes
end

-- What the registry has under the name: the descriptor, and the manifest for this platform.
local function ask(self)
  local got, err = self.session:manifest()
  if not got then return nil, err end
  self.descriptor = { mediaType = got.media_type, digest = got.digest, size = got.size }
  self.documents, self.digests = { got.bytes }, { got.digest }
  local bytes = got.bytes
  if media_types.is_index(got.media_type) then
    local chosen
    chosen, err = index.choose(bytes, self.options.platform)
    if not chosen then return nil, err end
    bytes, err = manifest_bytes(self, chosen.digest)
    if not bytes then return nil, err end
    table.insert(self.documents, bytes)
    table.insert(self.digests, chosen.digest)
  elseif not media_types.is_manifest(got.media_type) then
    return nil, error_object.new { code = "EBADMSG",
      message = "it is no image but " .. got.media_type }
  end
  self.manifest, err = manifest.read(bytes, self.options.object_size or stored.object_size)
  return self.manifest, err
end

-- One blob, unless the store has it and it is sound.
local function fetch(self, descriptor, shows)
  local store <const>, digest <const>, size <const> =
    self.store, descriptor.digest, descriptor.size
  if store:has(digest) then
    local sound <close> = store:open_blob(digest)
    if sound and store:has(digest, size) then return true end
    store:discard(digest)
  end
  self.shows = shows
  return store:receive(digest, size, function(file)
    return self.session:blob(digest, size, file)
  end)
end

local function put_documents(self)
  for _, bytes in ipairs(self.documents) do
    local digest, err = self.store:put(bytes)
    if not digest then return nil, err end
  end
  return true
end

-- An image without an object in it, or with labels that cannot be read, is refused as a whole.
local function check(self)
  local options <const> = self.options
  local image, err = stored.read(self.store, self.descriptor, {
    reference = options.reference:text(), object_size = options.object_size,
    platform = options.platform,
  })
  if not image then return nil, err end
  local objects
  objects, err = stored.objects(self.store, image, options.object_size)
  if objects then image.object, err = labels.only_object(objects, image.labels.filename) end
  if not image.object then return nil, err end
  return image
end

local function decide(self, image)
  local options <const> = self.options
  local good, err = true, nil
  if options.rules and options.rules:wants(options.reference) then
    good, err = signed.fetch(self.store, self.session, options.reference, image)
  end
  if good then
    image.decision, err = signed.decide(self.store, options.reference, image, options.rules)
  end
  return image.decision, err
end

local function fetch_all(self)
  local good, err = ask(self)
  if good then good, err = fetch(self, self.manifest.config, false) end
  if good then good, err = fetch(self, self.manifest.layer, true) end
  if good then good, err = put_documents(self) end
  local image
  if good then image, err = check(self) end
  if image then good, err = decide(self, image) end
  if not image or not good then return nil, err end
  return image
end

local function needed(self)
  local list = { self.manifest.config.digest, self.manifest.layer.digest }
  return table.move(self.digests, 1, #self.digests, #list + 1, list)
end

local function fetch_and_name(self)
  for _ = 1, ATTEMPTS do
    local image, err = fetch_all(self)
    local named
    if image then
      named, err = catalog.name(self.store, image.reference, self.descriptor, needed(self))
    end
    if named then return image end
    if named == nil then return nil, err end
  end
  return nil, error_object.new { code = "EAGAIN",
    message = "the store is pruned again and again meanwhile" }
end

local function open_session(self)
  local options <const> = self.options
  return registry.open {
    reference = options.reference, credentials = options.credentials, settings = options.settings,
    progress = function(done, total)
      if self.shows and options.progress then options.progress(done, total) end
    end,
  }
end

-- What must stay: what the caller says, and what has just come.
local function kept(options, image)
  local told, err = {}, nil
  if options.keep then told, err = options.keep() end
  if not told then return nil, err end
  local keep = {}
  for which in pairs(told) do keep[which] = true end
  if image then keep[image.digest] = true end
  return keep
end

local function tidy(options, image, refused)
  return options.store:locked(function() -- for the lock one may wait, too
    local keep, err = kept(options, image)
    if not keep then return nil, err end
    return prune.run(options.store, { keep = keep, size = options.size, nameless = true,
      spare = SPARE, refused = refused })
  end)
end

-- What came of a refused image goes; what can be resumed stays.
local function from_registry(options)
  local self = { options = options, store = options.store }
  local session <close>, err = open_session(self)
  if not session then return nil, err end
  self.session, options.store.received = session, {}
  local image
  image, err = fetch_and_name(self)
  options.store.received = nil
  local pruned, failure = tidy(options, image, not image and self.descriptor or nil)
  if not image then return nil, err end
  if not pruned then return nil, failure end
  image.fetched = true
  return image
end

-- Errors of the registry name the image already.
local function named(err, name)
  if err.doing and err.doing:find(name, 1, true) then return err end
  return err:because("pulling " .. name)
end

--- Makes sure that an image is in the store, as the pull policy wants it, and that it is sound: one
--- eBPF object for this machine, signed as the rules want it.
---@param options bpf.image.pull_options
---@return bpf.image.stored? image   with `object`, `decision` and, where a registry was asked,
---  `fetched`
---@return bpf.error?
function pull.run(options)
  local policy <const> = options.policy or "IfNotPresent"
  local image, err, unknown
  if policy ~= "Always" then
    image, err, unknown = from_store(options)
    unknown = unknown or err and err.code == "ENODATA"
    if unknown and policy == "Never" then
      err = err:with_advice "the pull policy Never asks no registry; IfNotPresent would"
    end
  end
  if policy == "Always" or unknown and policy == "IfNotPresent" then
    image, err = from_registry(options)
  end
  if not image then return nil, named(err, options.reference:text()) end
  prune.touch(options.store, image.digest)
  return image
end

return pull
