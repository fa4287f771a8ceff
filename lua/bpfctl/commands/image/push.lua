-- Pushes an image from a layout or from the daemon's store into its registry.

local own_registry = require "bpfctl.own_registry"
local shared = require "bpfctl.shared_options"

local push = {
  name = "push",
  summary = "Push a bytecode image to its registry",
  options = {
    shared.image_url, shared.layout, shared.store, table.unpack(own_registry.options),
  },
  draws = "pushed",
}

local function open(arguments)
  local image <const> = require "bpf.image"
  if arguments.layout then return image.store.open_layout(arguments.layout) end
  local store, err = image.store.open_layout(shared.store_path(arguments))
  if store then return store end
  return nil, shared.explain_store(err, arguments)
end

function push.run(session, arguments)
  local options, err, note = own_registry.read(arguments)
  if not options then return nil, err end
  options.store, err = open(arguments)
  if not options.store then return nil, err end
  local finish, pushed
  options.progress, finish = require("bpfctl.pulling").progress(session, arguments.image_url,
    "pushing")
  pushed, err = require("bpf.image").push.run(options)
  finish()
  if pushed then return pushed end
  return nil, own_registry.advise(err, note)
end

--- With -q.
function push.brief(pushed) return pushed.digest .. "\n" end

return push
