-- Fetches an image for later loads.

local shared = require "bpfctl.shared_options"

local pull_bytecode = {
  name = "pull-bytecode",
  summary = "Fetch an image with bytecode for loads to come",
  options = { shared.image_url, shared.registry_auth, shared.pull_policy },
  draws = "pulled",
}

function pull_bytecode.run(session, arguments)
  return require("bpfctl.pulling").call(session, "image.pull", {
    image_url = arguments.image_url,
    registry_auth = arguments.registry_auth,
    pull_policy = arguments.pull_policy,
  })
end

return pull_bytecode
