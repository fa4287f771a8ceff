-- Fetches an image for later loads.

local images = require "bpfctl.images"
local shared = require "bpfctl.shared_options"

return {
  name = "pull-bytecode",
  summary = "Fetch an image with bytecode for loads to come",
  options = { shared.image_url, shared.registry_auth, shared.pull_policy },
  run = images.unsupported,
}
