-- Keeps a store small: what no image needs goes, then the images not used for the longest.

local core = require "bpf.core"
local error_object = require "bpf.error"
local catalog = require "bpf.image.catalog"
local garbage = require "bpf.image.garbage"

local disk <const> = core.disk

local prune = {}

local signed_digest <const> = garbage.signed_digest

-- Takes entries out of the index, and with them signatures of what is no more.
local function drop(store, leaves)
  local good, err = catalog.remove(store, leaves)
  if not good then return nil, err end
  local entries
  entries, err = catalog.entries(store)
  if not entries then return nil, err end
  garbage.mark(store, entries)
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
  garbage.mark(store, entries)
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
  local state, err = garbage.collect(store, options)
  if not state then return nil, err end
  local stay, gone = garbage.sweep_partial(store, options.partial)
  if options.size and state.size + stay > options.size and not options.partial then
    local more
    stay, more = garbage.sweep_partial(store, true)
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
      state = good and garbage.collect(store, options)
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
    if good then good, err = garbage.collect(store, {}) end
    if not good then return nil, err end
    return true
  end)
end

return prune
