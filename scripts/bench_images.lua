-- What images cost: a pull against skopeo's, and a load of a cached image against one of its file.
local uv = require "luv"
local daemon = require "spec.support.daemon"
local process = require "spec.support.process"
local registry = require "spec.support.registry"

local ROUNDS <const> = 15
local SIZE <const> = 5 * 1024 * 1024

-- An object of 5 MB that no compression makes smaller: what follows an ELF's parts is nobody's.
local function write_object(path, model)
  local random <close> = assert(io.open("/dev/urandom", "rb"))
  local original <close> = assert(io.open(model, "rb"))
  local file <close> = assert(io.open(path, "wb"))
  local bytes = original:read "a"
  file:write(bytes, random:read(SIZE - #bytes))
end

local function seconds_of(run)
  local started = uv.hrtime()
  run()
  return (uv.hrtime() - started) / 1e9
end

-- Both from nothing to an image on disk; ours is asked of a running daemon.
local function pulls(bpfd, image, directory)
  local policy = directory .. "/policy.json"
  local file <close> = assert(io.open(policy, "w"))
  file:write '{"default":[{"type":"insecureAcceptAnything"}]}'
  file:flush()
  local ours, theirs = {}, {}
  for i = 1, ROUNDS do
    ours[i] = seconds_of(function() bpfd:check("-q", "pull-bytecode", "-i", image) end)
    bpfd:check("image", "remove", image)
    local target = directory .. "/copy"
    theirs[i] = seconds_of(function()
      process.check { "skopeo", "--policy", policy, "copy", "--src-tls-verify=false",
        "docker://" .. image, "oci:" .. target .. ":1" }
    end)
    process.check { "rm", "-rf", target }
  end
  return ours, theirs
end

local function loads(bpfd, near, image, object)
  local from_image, from_file = {}, {}
  local function load(...)
    local words = { "-q", ... }
    local where <const> = { "xdp", "-i", "veth0", "-p", "50", "--netns", near.path }
    table.move(where, 1, #where, #words + 1, words)
    local id
    local seconds = seconds_of(function() id = bpfd:check(table.unpack(words)) end)
    bpfd:check("unload", id:match "%d+")
    return seconds
  end
  bpfd:check("-q", "pull-bytecode", "-i", image)
  for i = 1, ROUNDS do
    from_image[i] = load("load-from-image", "-i", image)
    from_file[i] = load("load-from-file", "-p", object, "-n", "return_only")
  end
  return from_image, from_file
end

local function run(figures, options, hub, bpfd)
  local image <const> = hub.host .. "/bench/five:1"
  local directory <const> = bpfd.directory
  local object <const>, layout <const> = directory .. "/five.o", directory .. "/layout"
  write_object(object, options.object)
  bpfd:check("image", "build", "-i", image, "--object", object, "--layout", layout)
  bpfd:check("image", "push", "-i", image, "--layout", layout, "--plain-http")
  local ours, theirs = pulls(bpfd, image, directory)
  figures:add_ratio("bpfctl pull-bytecode of 5 MB from loopback, for skopeo copy", ours, theirs,
    0.5)
  ours, theirs = loads(bpfd, options.near, image, object)
  figures:add_ratio("load-from-image of that image from the store, for load-from-file", ours,
    theirs, 1.2)
end

---Adds two rows.
---@param figures table  scripts.figures
---@param options { near: table, prefix: string, object: string }  near: a namespace with veth0
return function(figures, options)
  local hub <close> = registry.start { prefix = options.prefix }
  local bpfd <close> = daemon.start { prefix = options.prefix, log_level = "info",
    config = ('return { registries = { ["%s"] = { plain_http = true } } }'):format(hub.host) }
  run(figures, options, hub, bpfd)
end
