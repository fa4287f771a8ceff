-- Loads a program from an OCI image and attaches it.

local loading = require "bpfctl.loading"
local shared = require "bpfctl.shared_options"
local types = require "bpfctl.types"

local load_from_image = {
  name = "load-from-image",
  summary = "Load an eBPF program from an OCI image in a registry",
  noun = "program type",
  commands = types.names,
  find = types.find,
  draws = "program",
  brief = loading.brief,
  options = {
    shared.image_url, shared.registry_auth, shared.pull_policy,
    {
      name = "name", short = "n", kind = "string", default = "",
      text = "Function of the program in the object file.\n"
        .. "Without it the image says which.",
    },
    shared.global, shared.metadata, shared.map_owner_id, shared.persist,
  },
}

function load_from_image.run(session, arguments)
  local passed <close> = require("bpfctl.passed").new()
  local params, err = loading.params(arguments, passed)
  if not params then return nil, err end
  params.image_url, params.registry_auth = arguments.image_url, arguments.registry_auth
  params.pull_policy = arguments.pull_policy
  return require("bpfctl.pulling").call(session, "program.load", params,
    { descriptors = passed.descriptors })
end

return load_from_image
