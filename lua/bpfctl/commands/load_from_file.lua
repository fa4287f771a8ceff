-- Loads a program from a local object file and attaches it.

local loading = require "bpfctl.loading"
local shared = require "bpfctl.shared_options"
local types = require "bpfctl.types"

local load_from_file = {
  name = "load-from-file",
  summary = "Load an eBPF program from a local object file",
  noun = "program type",
  commands = types.names,
  find = types.find,
  draws = "program",
  brief = loading.brief,
  options = {
    {
      name = "path", short = "p", kind = "string", required = true, complete = "file",
      text = "Object file to load from\n"
        .. "Example: --path /run/bpfd/examples/go-xdp-counter/bpf_bpfel.o",
    },
    {
      name = "name", short = "n", kind = "string", required = true,
      text = "Function of the program in the object file",
    },
    shared.global, shared.metadata, shared.map_owner_id, shared.persist,
  },
}

function load_from_file.run(session, arguments)
  local passed <close> = require("bpfctl.passed").new()
  local place, err = passed:open(arguments.path, "an object file")
  if not place then return nil, err end
  local params
  params, err = loading.params(arguments, passed)
  if not params then return nil, err end
  params.fd = place
  return session:call("program.load", params, { descriptors = passed.descriptors })
end

return load_from_file
