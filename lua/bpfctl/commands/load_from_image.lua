-- Loads a program from an OCI image. The line is checked; the image commands come by themselves.

local images = require "bpfctl.images"
local shared = require "bpfctl.shared_options"
local types = require "bpfctl.types"

return {
  name = "load-from-image",
  summary = "Load an eBPF program from an OCI image in a registry",
  noun = "program type",
  commands = types.names,
  find = types.find,
  options = {
    shared.image_url, shared.registry_auth, shared.pull_policy,
    {
      name = "name", short = "n", kind = "string", default = "",
      text = "Function of the program in the object file.\n"
        .. "Without it the image says which.",
    },
    shared.global, shared.metadata, shared.map_owner_id, shared.persist,
  },
  run = images.unsupported,
}
