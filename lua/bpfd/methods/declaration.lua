-- declaration.apply and declaration.export.

local error_object = require "bpf.error"
local json = require "bpf.json"
local declaration = require "bpf.declaration"
local declarations = require "bpfd.declarations"
local declaration_export = require "bpfd.declaration_export"
local addition = require "bpfd.addition"

local methods = {}

local LONGEST_NAME <const> = 255

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

-- The files of all entries, those that several have only once.
local function open_files(daemon, request, name, entries)
  local sources, place_of = {}, {}
  for _, entry in ipairs(entries) do
    if entry.image_url then
      return nil, error_object.new { code = "ENOTSUP", message = declaration.place(name, entry)
        .. ": image support is not part of this build yet",
        advice = "copy the object file out of the image and name it by path" }
    end
    local opened, err = addition.open_files(daemon, request, entry.attach,
      { fd = entry.fd, path = not entry.fd and entry.path or nil })
    if not opened then return nil, err:because(declaration.place(name, entry)) end
    entry.path = opened.path
    entry.files = { target = opened.target, netns = opened.netns }
    local at <const> = entry.fd or entry.path
    if not place_of[at] then
      table.insert(sources, { descriptor = opened.source, path = opened.path })
      place_of[at] = #sources
    end
    entry.source = place_of[at]
  end
  return sources
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
    local entries, sources, digests, changes
    entries, err = read_entries(name, params.programs)
    if not entries then return nil, err end
    sources, err = open_files(daemon, request, name, entries)
    if not sources then return nil, err end
    digests, err = daemon.objects:take(request, sources,
      { limit = daemon.config.images.object_size, keep = not params.dry_run })
    if not digests then return nil, err end
    local held <close> = digests -- luacheck: ignore held
    for _, entry in ipairs(entries) do
      entry.digest, entry.source = digests[entry.source], nil
    end
    changes, err = declarations.apply(daemon, request, { name = name, programs = entries,
      dry_run = params.dry_run, prune = params.prune })
    if not changes then return nil, err end
    return { name = name, dry_run = params.dry_run == true, changes = changes }
  end,
}

methods["declaration.export"] = {
  parameters = { declared_by = true, metadata = true, selector = true },
  run = function(daemon, request) return declaration_export.run(daemon, request.params) end,
}

return methods
