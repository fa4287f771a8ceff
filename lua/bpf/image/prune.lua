-- Keeps a store small: what no image needs goes, then the images not used for the longest.

local core = require "bpf.core"
local error_object = require "bpf.error"
local json = require "bpf.json"
local catalog = require "bpf.image.catalog"

local disk <const>, system <const> = core.disk, core.system

local prune = {}

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
prune.signed_digest = signed_digest

-- Signatures stay as long as what they sign.
local function mark_all(store, entries)
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

-- Removes what writers that have died left and, with `all`, downloads that nobody goes on with;
-- returns the bytes that stay and those that went.
local function sweep_partial(store, all)
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

local function collect(store, options)
  local spared <const> = sparing(store, options)
  local entries, err = catalog.entries(store)
  if not entries then return nil, err end
  local marked <const> = mark_all(store, entries)
  local stay, gone = sweep(store, "/blobs/sha256", marked, prefixed, spared)
  local _, records = sweep(store, "/unpacked", marked, function(name) return name end,
    spared)
  return { entries = entries, size = stay, freed = gone + records }
end

-- Takes entries out of the index, and with them signatures of what is no more.
local function drop(store, leaves)
  local good, err = catalog.remove(store, leaves)
  if not good then return nil, err end
  local entries
  entries, err = catalog.entries(store)
  if not entries then return nil, err end
  mark_all(store, entries)
  local orphans, any = {}, false
  for _, entry in ipairs(entries) do
    if entry.orphan then orphans[entry.reference], any = true, true end
  end
  if not any then return true end
  return catalog.remove(store, function(entry) return orphans[entry.reference] end)
end

local function is_kept(keep, entry)
  return keep[entry.descriptor.digest] or entry.reference and keep[entry.reference]
end

local function used_at(store, entry)
  return disk.changed_at(store:blob_path(entry.descriptor.digest)) or 0
end

--- An image was used now.
---@param store bpf.image.store
---@param digest string
function prune.touch(store, digest)
  disk.touch(store:blob_path(digest))
end

-- The image that was not used for the longest, of those that may go; one without a name first.
local function oldest(store, entries, keep)
  local found, found_at
  for _, entry in ipairs(entries) do
    if not is_kept(keep, entry) and not signed_digest(entry) then
      local at <const> = entry.reference and used_at(store, entry) or 0
      if not found or at < found_at then found, found_at = entry, at end
    end
  end
  return found
end

---@class bpf.image.prune_options
---@field keep table<string, any>?  digests and names of images that must stay
---@field size integer?   most bytes of all images; absent: as many as there are
---@field all boolean?    every image that need not stay goes
---@field nameless boolean?  images whose name is another's now go
---@field spare integer?     seconds for which a blob may be there without an image
---@field refused bpf.registry.descriptor?  of an image whose blobs go all the same
---@field partial boolean?   downloads that nobody goes on with go; above `size` they do anyhow

-- A refused image, and signatures of what is not here: nobody pulls these.
local function leaving(store, options, entries)
  local list = { options.refused }
  mark_all(store, entries)
  for _, entry in ipairs(entries) do
    if entry.orphan then list[#list + 1] = entry.descriptor end
  end
  return list
end

local function choose(store, options, keep)
  if options.all or options.nameless then
    local good, err = drop(store, function(entry)
      return not is_kept(keep, entry) and not signed_digest(entry)
        and (options.all or not entry.reference)
    end)
    if not good then return nil, err end
  end
  local state, err = collect(store, options)
  if not state then return nil, err end
  local stay, gone = sweep_partial(store, options.partial)
  if options.size and state.size + stay > options.size and not options.partial then
    local more
    stay, more = sweep_partial(store, true)
    gone = gone + more
  end
  state.size, state.freed = state.size + stay, state.freed + gone
  return state
end

--- Removes what nothing needs; then, above `size`, images by the time of their last use.
---@param store bpf.image.store
---@param wanted bpf.image.prune_options?
---@return { removed: string[], freed: integer, size: integer }?
---@return bpf.error?
function prune.run(store, wanted)
  local options = {}
  for key, value in pairs(wanted or {}) do options[key] = value end
  local keep <const>, removed = options.keep or {}, {}
  return store:locked(function()
    local before, err = catalog.entries(store)
    if not before then return nil, err end
    options.leaving = leaving(store, options, before)
    local state
    state, err = choose(store, options, keep)
    local freed = state and state.freed
    while state and options.size and state.size > options.size do
      local victim <const> = oldest(store, state.entries, keep)
      if not victim then break end
      local good
      good, err = drop(store, function(entry)
        return entry.descriptor.digest == victim.descriptor.digest
          and entry.reference == victim.reference
      end)
      state = good and collect(store, options)
      freed = state and freed + state.freed
    end
    if not state then return nil, err end
    local left = {}
    for _, entry in ipairs(state.entries) do left[entry.reference or false] = true end
    for _, entry in ipairs(before) do
      if entry.reference and not left[entry.reference] and not signed_digest(entry) then
        removed[#removed + 1] = entry.reference
      end
    end
    return { removed = removed, freed = freed, size = state.size }
  end)
end

local function in_use(reference, ids)
  local who = "something that is being loaded"
  if type(ids) == "table" and #ids > 0 then
    who = ("program%s %s"):format(#ids > 1 and "s" or "", table.concat(ids, ", "))
  end
  return nil, error_object.new { code = "EBUSY",
    message = ("%s is needed by %s"):format(reference, who),
    advice = "unload it first" }
end

-- Whether the image has another name as well, by which it stays.
local function has_another_name(entries, found, reference)
  for _, entry in ipairs(entries) do
    if entry.descriptor.digest == found.digest and entry.reference ~= reference then
      return true
    end
  end
  return false
end

--- Removes one image by its name, and what only it needed.
---@param store bpf.image.store
---@param reference string
---@param keep table<string, boolean|integer[]>?  names and digests that must stay, and for whom
---@return boolean?  false: there was none
---@return bpf.error?
function prune.remove(store, reference, keep)
  keep = keep or {}
  return store:locked(function()
    local found, err = catalog.find(store, { reference = reference })
    if err then return nil, err end
    if not found then return false end
    local needed = keep[reference]
    if not has_another_name(assert(catalog.entries(store)), found, reference) then
      needed = needed or keep[found.digest]
    end
    if needed then return in_use(reference, needed) end
    local good
    good, err = drop(store, function(entry) return entry.reference == reference end)
    if good then good, err = collect(store, {}) end
    if not good then return nil, err end
    return true
  end)
end

return prune
