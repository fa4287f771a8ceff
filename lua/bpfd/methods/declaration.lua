-- declaration.apply and declaration.export.

local error_object = require "bpf.error"
local json = require "bpf.json"
local declaration = require "bpf.declaration"
local declarations = require "bpfd.declarations"
local declaration_export = require "bpfd.declaration_export"
local declared_images = require "bpfd.declared_images"
local images = require "bpfd.images"
local addition = require "bpfd.addition"

local methods = {}

local LONGEST_NAME <const> = 255
local MOST <const> = 256 -- declarations that are kept, with their object files

local function refusal(message, advice)
  return nil, error_object.new { code = "EINVAL", message = message, advice = advice }
end

local function check_name(name)
  if type(name) == "string" and name ~= "" and #name <= LONGEST_NAME
      and not name:find "[%c/]" then
    return name
  end
  return refusal("name must be a text without a slash", "it is the file's name, as in web.lua")
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

local function check_flags(params)
  for _, key in ipairs { "dry_run", "prune" } do
    if params[key] ~= nil and type(params[key]) ~= "boolean" then
      return refusal(key .. " must be true or false")
    end
  end
  return true
end

local function read_entries(name, list)
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

local function open_entry(daemon, request, entry)
  local image, err
  if entry.image_url then
    image, err = images.wish(daemon, entry)
    if not image then return nil, err end
  end
  local opened
  opened, err = addition.open_files(daemon, request, entry.attach,
    { fd = entry.fd, path = not entry.fd and entry.path or nil }, image)
  if not opened then return nil, err end
  entry.files = { target = opened.target, netns = opened.netns }
  if not image then return opened end
  local good
  good, err = declared_images.resolve(daemon, request, entry, image)
  if not good then return nil, err end
  entry.files.image, err = declared_images.resolved(daemon, entry)
  return entry.files.image and opened, err
end

-- The object files of all entries, those that several have only once; `source` is an entry's place
-- among them.
local function open_files(daemon, request, name, entries)
  local sources, place_of = {}, {}
  for _, entry in ipairs(entries) do
    local opened, err = open_entry(daemon, request, entry)
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

local function apply(daemon, request, wanted)
  local sources, err = open_files(daemon, request, wanted.name, wanted.programs)
  if not sources then return nil, err end
  local digests
  digests, err = daemon.objects:take(request, sources,
    { limit = daemon.config.images.object_size, keep = not wanted.dry_run })
  if not digests then return nil, err end
  local held <close> = digests -- luacheck: ignore held
  for _, entry in ipairs(wanted.programs) do
    entry.digest = entry.digest or digests[entry.source]
    entry.source, entry.registry_auth = nil, nil -- which is nobody's to keep
  end
  return declarations.apply(daemon, request, wanted)
end

methods["declaration.apply"] = {
  parameters = { name = true, programs = true, dry_run = true, prune = true },
  run = function(daemon, request)
    local params <const> = request.params
    local name, err = check_name(params.name)
    if not name then return nil, err end
    local good
    good, err = check_flags(params)
    if not good then return nil, err end
    local wanted = { name = name, dry_run = params.dry_run == true, prune = params.prune == true }
    wanted.programs, err = read_entries(name, params.programs)
    if not wanted.programs then return nil, err end
    good, err = check_count(daemon, wanted)
    if not good then return nil, err end
    local changes
    changes, err = apply(daemon, request, wanted)
    daemon.objects:drop_unused(daemon)
    if not changes then return nil, err end
    return { name = name, dry_run = wanted.dry_run, changes = changes }
  end,
}

methods["declaration.export"] = {
  parameters = { declared_by = true, metadata = true, selector = true },
  run = function(daemon, request) return declaration_export.run(daemon, request.params) end,
}

return methods
