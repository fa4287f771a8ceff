-- Makes an image out of object files, into a layout or straight into the daemon's store.

local shared = require "bpfctl.shared_options"

local error_object = require "bpf.error"

-- ARCHITECTURE=PATH or PATH
local function read_objects(words)
  local build <const> = require("bpf.image").build
  local parts = {}
  for place, word in ipairs(words) do
    local name, path = word:match "^([%w_]+)=(.+)$"
    local architecture = name and build.architecture(name)
    if name and not architecture then
      return nil, ("names no architecture: '%s'"):format(name)
    end
    path = path or word
    parts[place] = { path = path, architecture = architecture or build.architecture_of(path) }
  end
  return parts
end

local function read_types(words)
  local types = {}
  for _, word in ipairs(words) do
    local name, kind = word:match "^([^=]+)=([%w_]+)$"
    if not name then return nil, ("must be NAME=TYPE, not '%s'"):format(word) end
    if types[name] then return nil, ("names %s twice"):format(name) end
    types[name] = kind
  end
  return types
end

local build = {
  name = "build",
  summary = "Make a bytecode image out of object files",
  options = {
    shared.image_url,
    {
      name = "object", kind = "string", repeated = true, required = true, finish = read_objects,
      metavar = "[ARCH=]PATH",
      text = [[
Object file of the image. Given again, there is an image for each
architecture, under one name. Without ARCH the file's name tells it, as
in counter_bpfel_x86.o; a single file may do without.
Example: --object amd64=x86/count.o --object arm64=arm/count.o]],
    },
    {
      name = "type", kind = "string", repeated = true, finish = read_types, metavar = "NAME=TYPE",
      text = [[
Type of a program whose section does not tell.
Example: --type stats=xdp]],
    },
    shared.layout, shared.store,
  },
  draws = "built",
}

local function check_files(parts)
  for _, part in ipairs(parts) do
    local facts, err = require("bpf.core").system.facts(part.path)
    if not facts then return nil, err end
  end
  return true
end

function build.run(_, arguments)
  local image <const> = require "bpf.image"
  local reference, err = require("bpf.registry.reference").parse(arguments.image_url)
  if not reference then return nil, err end
  if reference.digest then
    return nil, error_object.new { code = "EINVAL",
      message = "an image is built under a tag, and its digest comes of that" }
  end
  local good
  good, err = check_files(arguments.object)
  if not good then return nil, err end
  local store
  store, err = image.store.open(shared.store_path(arguments))
  if not store then return nil, shared.explain_store(err, arguments) end
  for _, part in ipairs(arguments.object) do part.types = arguments.type end
  return image.build.run(store, { reference = reference, parts = arguments.object })
end

--- With -q.
function build.brief(built) return built.digest .. "\n" end

return build
