-- Pushes an image from a layout or from the daemon's store into its registry.

local shared = require "bpfctl.shared_options"

local push = {
  name = "push",
  summary = "Push a bytecode image to its registry",
  options = {
    shared.image_url, shared.registry_auth, shared.layout, shared.store,
    {
      name = "plain_http", kind = "flag",
      text = "The registry speaks no TLS",
    },
    {
      name = "ca", kind = "string", metavar = "PATH",
      text = "Certificates by which the registry is known, instead of the system's",
    },
  },
  draws = "pushed",
}

local function open(arguments)
  local image <const> = require "bpf.image"
  if arguments.layout then return image.store.open_layout(arguments.layout) end
  local store, err = image.store.open_layout(arguments.store)
  if store then return store end
  return nil, shared.explain_store(err, arguments)
end

function push.run(session, arguments)
  local reference, err = require("bpf.registry.reference").parse(arguments.image_url)
  if not reference then return nil, err end
  local pulling <const> = require "bpfctl.pulling"
  local auth, credentials
  auth, err = pulling.registry_auth(arguments)
  if auth then credentials, err = require("bpf.registry.credentials").decode(auth) end
  if err then return nil, err end
  local store
  store, err = open(arguments)
  if not store then return nil, err end
  local show, finish = pulling.progress(session, arguments.image_url, "pushing")
  local pushed
  pushed, err = require("bpf.image").push.run {
    store = store, reference = reference, credentials = credentials, progress = show,
    settings = { registries = {
      [reference.registry] = { plain_http = arguments.plain_http, ca = arguments.ca },
    } },
  }
  finish()
  return pushed, err
end

--- With -q.
function push.brief(pushed) return pushed.digest .. "\n" end

return push
