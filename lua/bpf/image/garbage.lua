-- Collects the garbage of a store: marks what its images need, and sweeps the rest.

local core = require "bpf.core"
local json = require "bpf.json"
local catalog = require "bpf.image.catalog"

local disk <const>, system <const> = core.disk, core.system

local garbage = {}

local function prefixed(hex) return "sha256:" .. hex end

local function text_of(store, digest)
  local file <close> = io.open(store:blob_path(digest), "rb")
  return file and file:read "a"
end

local mark

local function mark_list(store, marked, descriptors)
  for _, each in ipairs(type(descriptors) == "table" and descriptors or {}) do
    if type(each) == "table" and type(each.digest) == "string" then
      mark(store, marked, each.digest, each.mediaType)
    end
  end
end

local function mark_objects(store, marked, layer_digest)
  local name <const> = layer_digest:sub(#"sha256:" + 1) .. ".json"
  local text <const> = store:own_file("unpacked/" .. name)
  local list <const> = text and json.decode(text)
  if type(list) ~= "table" then return end
  marked[name] = true
  mark_list(store, marked, list)
end

-- Everything that a blob names, as far as it is here.
function mark(store, marked, digest, media_type)
  if marked[digest] or not digest:find("^sha256:" .. ("%x"):rep(64) .. "$") then return end
  marked[digest] = true
  if type(media_type) ~= "string" then return end
  if media_type:find "layer" or media_type:find "rootfs" then
    return mark_objects(store, marked, digest)
  end
  if not (media_type:find "index" or media_type:find "manifest") then return end
  local text <const> = text_of(store, digest)
  local value <const> = text and json.decode(text)
  if type(value) ~= "table" then return end
  mark_list(store, marked, value.manifests)
  mark_list(store, marked, value.layers)
  mark_list(store, marked, { value.config })
end

--- The digest of the image that this entry has signatures of; nil for other entries.
---@return string?
local function signed_digest(entry)
  local hex <const> = entry.reference and entry.reference:match(":sha256%-(%x+)%.sig$")
  return hex and prefixed(hex)
end
garbage.signed_digest = signed_digest

--- Marks what images need. Signatures stay as long as what they sign: those of what is not here get
--- `orphan`.
---@param store bpf.image.store
---@param entries bpf.image.entry[]
---@return table<string, true> marked
function garbage.mark(store, entries)
  local marked, signatures = {}, {}
  for _, entry in ipairs(entries) do
    if signed_digest(entry) then
      signatures[#signatures + 1] = entry
    else
      mark(store, marked, entry.descriptor.digest, entry.descriptor.mediaType)
    end
  end
  for _, entry in ipairs(signatures) do
    entry.orphan = not marked[signed_digest(entry)]
    if not entry.orphan then mark(store, marked, entry.descriptor.digest,
      entry.descriptor.mediaType) end
  end
  return marked
end

local function size_of(path)
  local facts <const> = system.facts(path)
  return facts and facts.size or 0
end

-- Removes what is not marked, unless it is so young that it may be wanted; returns the bytes that
-- stay and those that went.
local function sweep(store, directory, marked, to_key, spared)
  local stay, gone = 0, 0
  for _, name in ipairs(system.list(store.path .. directory) or {}) do
    local path <const> = ("%s%s/%s"):format(store.path, directory, name)
    local size <const> = size_of(path)
    if marked[to_key(name)] or spared(path, to_key(name)) then
      stay = stay + size
    elseif system.remove(path) then
      gone = gone + size
    end
  end
  return stay, gone
end

--- Removes what writers that have died left and, with `all`, downloads that nobody goes on with.
---@param store bpf.image.store
---@param all boolean?
---@return integer stay, integer gone  bytes
function garbage.sweep_partial(store, all)
  local stay, gone = 0, 0
  for _, name in ipairs(system.list(store.path .. "/partial") or {}) do
    local path <const> = store.path .. "/partial/" .. name
    local size <const> = size_of(path)
    local pid <const> = tonumber(name:match "^new%-(%d+)%-")
    local is_dead
    if pid then
      is_dead = not system.kill(pid, "check")
    elseif all then
      local lock <close> = system.lock(path) -- held by whoever fetches it
      is_dead = lock ~= nil
    end
    if is_dead and system.remove(path) then gone = gone + size else stay = stay + size end
  end
  return stay, gone
end

local function nothing() return false end

-- Whether somebody may be pulling the image that a blob is of.
local function sparing(store, options)
  if not options.spare then return nothing end
  local since <const> = system.clock() - options.spare * 1000000000
  local refused = {}
  mark_list(store, refused, options.leaving)
  return function(path, key)
    return not refused[key] and (disk.changed_at(path) or 0) > since
  end
end

--- Removes what no image needs.
---@param store bpf.image.store
---@param options { spare: integer?, leaving: bpf.registry.descriptor[]? }  seconds for which a blob
---  may be there without an image, and images whose blobs go all the same
---@return { entries: bpf.image.entry[], size: integer, freed: integer }?
---@return bpf.error?
function garbage.collect(store, options)
  local spared <const> = sparing(store, options)
  local entries, err = catalog.entries(store)
  if not entries then return nil, err end
  local marked <const> = garbage.mark(store, entries)
  local stay, gone = sweep(store, "/blobs/sha256", marked, prefixed, spared)
  local _, records = sweep(store, "/unpacked", marked, function(name) return name end,
    spared)
  return { entries = entries, size = stay, freed = gone + records }
end

return garbage
