-- declaration.apply and declaration.export.

local error_object = require "bpf.error"
local declaration_export = require "bpfd.declaration_export"
local declared_sources = require "bpfd.declared_sources"

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

methods["declaration.apply"] = {
  in_turn = true,
  parameters = { name = true, programs = true, dry_run = true, prune = true },
  run = function(daemon, request)
    local params <const> = request.params
    local name, err = check_name(params.name)
    if not name then return nil, err end
    local good
    good, err = check_flags(params)
    if not good then return nil, err end
    local wanted = { name = name, dry_run = params.dry_run == true, prune = params.prune == true }
    wanted.programs, err = declared_sources.read(name, params.programs)
    if not wanted.programs then return nil, err end
    local changes
    changes, err = declared_sources.apply(daemon, request, wanted)
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
