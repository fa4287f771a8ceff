-- What declarations name: object files and images, targets and namespaces, opened for an apply and
-- opened again for what was applied before.

local addition = require "bpfd.addition"
local declaration = require "bpf.declaration"
local declarations = require "bpfd.declarations"
local declared_images = require "bpfd.declared_images"
local error_object = require "bpf.error"
local files = require "bpfd.files"
local images = require "bpfd.images"
local json = require "bpf.json"

local declared_sources = {}

local MOST <const> = 256 -- declarations that are kept, with their object files

local function refusal(message, advice)
  return nil, error_object.new { code = "EINVAL", message = message, advice = advice }
end

-- One more declaration is to be kept.
local function check_count(daemon, wanted)
  if wanted.dry_run or #wanted.programs == 0 or daemon.store:declaration(wanted.name) then
    return true
  end
  if daemon.store:count "declarations" < MOST then return true end
  return nil, error_object.new { code = "E2BIG",
    message = ("there are %d declarations already"):format(MOST),
    advice = "an empty file, applied with --as NAME --prune, ends one" }
end

--- The programs of a declaration as they came with a request, checked.
---@param name string
---@param list any
---@return bpf.declared_program[]? programs, bpf.error? err
function declared_sources.read(name, list)
  if type(list) ~= "table" or next(list) ~= nil and not json.is_array(list) then
    return refusal "programs must be a list"
  end
  for _, entry in ipairs(list) do
    if type(entry) ~= "table" or type(entry.label) ~= "string" then
      return refusal "each of the programs must be an object with a label"
    end
  end
  return declaration.check(name, list, { wire = true })
end

local function open_entry(daemon, request, entry, offline)
  local image, err
  if entry.image_url then
    image, err = images.wish(daemon, entry)
    if not image then return nil, err end
    image.offline = offline
  end
  local opened
  opened, err = addition.open_files(daemon, request, entry.attach,
    { fd = entry.fd, path = not entry.fd and entry.path or nil }, image)
  if not opened then return nil, err end
  entry.files = { target = opened.target, netns = opened.netns }
  entry.opened = { opened.source or false, opened.target, opened.netns }
  if not image then return opened end
  local good
  good, err = declared_images.resolve(daemon, request, entry, image)
  if not good then return nil, err end
  entry.files.image, err = declared_images.resolved(daemon, entry)
  return entry.files.image and opened, err
end

-- The object files of all entries, those that several have only once; `source` is an entry's place
-- among them.
local function open_files(daemon, request, wanted)
  local name <const>, entries <const> = wanted.name, wanted.programs
  local sources, place_of = {}, {}
  for _, entry in ipairs(entries) do
    local opened, err = open_entry(daemon, request, entry, wanted.offline)
    if not opened then return nil, err:because(declaration.place(name, entry)) end
    local at <const> = entry.fd or entry.path
    if opened.source and not place_of[at] then
      table.insert(sources, { descriptor = opened.source, path = opened.path })
      place_of[at] = #sources
    end
    if opened.source then entry.path, entry.source = opened.path, place_of[at] end
  end
  return sources
end

--- Closes what the entries name. What was opened by path is nobody else's to close; for what came
--- with a request it is only early.
function declared_sources.close(entries)
  for _, entry in ipairs(entries) do
    for _, descriptor in pairs(entry.opened or {}) do
      if type(descriptor) == "userdata" then descriptor:close() end
    end
    entry.opened = nil
  end
end

--- Opens, keeps and applies what a declaration names.
---@param daemon table
---@param request table  with whose rights; its descriptors are those that entries name
---@param wanted bpfd.wanted_declaration  programs as `read` gives them
---@return table[]? changes, bpf.error? err
function declared_sources.apply(daemon, request, wanted)
  local good, err = check_count(daemon, wanted)
  if not good then return nil, err end
  local opened <close> = setmetatable({}, { -- luacheck: ignore opened
    __close = function() declared_sources.close(wanted.programs) end,
  })
  local sources, digests
  sources, err = open_files(daemon, request, wanted)
  if not sources then return nil, err end
  digests, err = daemon.objects:take(request, sources,
    { limit = daemon.config.images.object_size, keep = not wanted.dry_run })
  if not digests then return nil, err end
  local held <close> = digests -- luacheck: ignore held
  for _, entry in ipairs(wanted.programs) do
    entry.digest = entry.digest or digests[entry.source]
    entry.source, entry.registry_auth = nil, nil -- which is nobody's to keep
  end
  if wanted.is_stale and wanted.is_stale() then return {} end
  return declarations.apply(daemon, request, wanted)
end

--- Opens again what the entries of a kept declaration name: the same bytes, by digest, whatever
--- path or tag means now. To be closed.
---@param request table  of the daemon's own
---@param entries bpf.declared_program[]  filled
---@return bpf.declared_program[]? entries, bpf.error? err
function declared_sources.reopen(daemon, request, name, entries)
  for _, entry in ipairs(entries) do
    local image, target, netns, err
    if entry.image_url then image, err = declared_images.resolved(daemon, entry) end
    if not err then target, err = files.target(request, entry.attach) end
    if not err then netns, err = files.netns(request, entry.attach) end
    if err then return nil, err:because(declaration.place(name, entry)) end
    entry.files = { image = image, target = target, netns = netns }
    entry.opened = { target, netns }
  end
  return entries
end

return declared_sources
