-- Options that several commands have.

local offers = require "bpfctl.offers"

local shared = {}

local function has_equals(word) return word:find("=", 1, true) ~= nil end

-- NAME=VALUE ... -> { NAME = VALUE }, each value checked as far as that goes without the object.
local function globals_of(assignments)
  local global <const> = require "bpf.global"
  local globals = {}
  for _, assignment in ipairs(assignments) do
    local name, value = global.split(assignment)
    if not name then return nil, tostring(value) end
    if globals[name] then return nil, ("sets %s twice"):format(name) end
    globals[name] = value
  end
  return globals
end

--- KEY=VALUE[,KEY=VALUE] ... -> { KEY = VALUE }
local function pairs_of(lists)
  local metadata = {}
  for _, list in ipairs(lists) do
    for pair in (list .. ","):gmatch "([^,]*)," do
      local key, value = pair:match "^([^=]+)=(.*)$"
      if not key then return nil, ("must be KEY=VALUE, not '%s'"):format(pair) end
      if metadata[key] then return nil, ("names %s twice"):format(key) end
      metadata[key] = value
    end
  end
  return metadata
end

shared.global = {
  name = "global", short = "g", kind = "string", repeated = true,
  continues = has_equals, empty = "NAME=VALUE", finish = globals_of,
  text = [[
Set global variables of the program before it is loaded.
Format: <NAME>=<Hex Value>

The bytes are taken as they stand, in memory order, and must be as many
as the variable has. The forms <NAME>=u32:10, <NAME>=i64:-1 and
<NAME>=str:eth0 are packed for you. Several may follow one option, and
the option may be given again.]],
}

shared.metadata = {
  name = "metadata", short = "m", kind = "string", repeated = true, finish = pairs_of,
  text = [[
Keep keys and values with the program.
Format: <KEY>=<VALUE>

Programs can be listed by them: bpfctl list --metadata-selector.
Several are given with commas between them, or with the option again.
Example: --metadata owner=acme]],
}

shared.metadata_selector = {
  name = "metadata_selector", short = "m", kind = "string", repeated = true, finish = pairs_of,
  text = [[
List programs with this metadata; with several, all must match.
Format: <KEY>=<VALUE>
Example: --metadata-selector owner=acme]],
}

local function readable_selector(text)
  local parsed, err = require("bpf.selector").parse(text)
  return not parsed and "cannot be read: " .. err.advice or nil
end

shared.selector = {
  name = "selector", kind = "string", metavar = "EXPR", check = readable_selector,
  text = [[
List programs whose metadata this expression matches.
Format: <KEY>=<VALUE>, <KEY>!=<VALUE>, <KEY> in (<VALUE>, <VALUE>),
<KEY> notin (<VALUE>, <VALUE>), <KEY> or !<KEY>; with commas between
them all must hold.
Example: --selector "owner=acme, tier in (web, edge)"]],
}

shared.map_owner_id = {
  name = "map_owner_id", kind = "integer", minimum = 1, maximum = 4294967295,
  complete = offers.program_ids,
  text = [[
Program id of a loaded program to share maps with.
Maps of the same name and shape become the owner's.
Example: --map-owner-id 63178]],
}

shared.persist = {
  name = "persist", kind = "flag",
  text = "Load the program again after a reboot",
}

shared.image_url = {
  name = "image_url", short = "i", kind = "string", required = true,
  text = [[
Image that holds the bytecode.
Example: --image-url quay.io/bpfd-bytecode/xdp_pass:latest]],
}

shared.registry_auth = {
  name = "registry_auth", short = "r", kind = "string", also = "registry_auth",
  text = [[
Credentials for the registry: <USERNAME>:<PASSWORD> in base64, as
docker and podman keep them.
Example: --registry-auth "YnjrcKw63PhDcQodiU9hYxQ2"]],
}

shared.pull_policy = {
  name = "pull_policy", short = "p", kind = "choice",
  values = { "Always", "IfNotPresent", "Never" }, default = "IfNotPresent",
  text = "When to fetch the image",
}

shared.layout = {
  name = "layout", kind = "string", metavar = "DIR",
  text = "OCI image layout to use instead of the store of bpfd; no daemon and\nno root is needed",
}

shared.store = {
  name = "store", kind = "string", metavar = "DIR", default = "/var/lib/bpfd/images",
  text = "Store of bpfd, which root alone may use directly",
}

--- Where the store of these arguments is.
---@param arguments { layout: string?, store: string? }
---@return string
function shared.store_path(arguments)
  return arguments.layout or arguments.store or shared.store.default
end

--- A store that cannot be opened is for root, or somewhere else.
---@param err bpf.error
---@param arguments { layout: string? }
function shared.explain_store(err, arguments)
  if arguments.layout then return err end
  return err:with_advice "with --layout DIR it needs neither bpfd nor root"
end

--- What stands without a dash: images.
function shared.image_operand(several)
  return {
    name = "image_url", kind = "string", repeated = several, required = true,
    text = "Image, as image list shows it",
  }
end

--- What stands without a dash: program ids.
function shared.program_ids(several)
  return {
    name = "id", kind = "integer", minimum = 1, maximum = 4294967295, repeated = several,
    required = true, text = "Program id, as list shows it", complete = offers.program_ids,
  }
end

return shared
