-- Loads a program from a local object file and attaches it.

local shared = require "bpfctl.shared_options"
local types = require "bpfctl.types"

local load_from_file = {
  name = "load-from-file",
  summary = "Load an eBPF program from a local object file",
  noun = "program type",
  commands = types.names,
  find = types.find,
  draws = "program",
  options = {
    {
      name = "path", short = "p", kind = "string", required = true,
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

-- A uprobe's target: the file is looked for here, opened by us and probed by the daemon. Inside a
-- container only the daemon can look.
local function add_target(passed, attach)
  if attach.container_pid then return true end
  local path, err = require("bpf.library").find(attach.target)
  if not path then return nil, err end
  attach.target_fd, err = passed:open(path, "a program or library")
  return attach.target_fd, err
end

local function add_namespace(passed, attach)
  if not attach.netns:find("/", 1, true) then attach.netns = "/run/netns/" .. attach.netns end
  local err
  attach.netns_fd, err = passed:open(attach.netns, "a network namespace")
  return attach.netns_fd, err
end

function load_from_file.run(session, arguments)
  local passed <close> = require("bpfctl.passed").new()
  local attach = { type = arguments.type }
  for name, value in pairs(arguments.attach) do attach[name] = value end

  local place, err = passed:open(arguments.path, "an object file")
  if place and attach.netns then place, err = add_namespace(passed, attach) end
  if place and attach.target then place, err = add_target(passed, attach) end
  if not place then return nil, err end

  return session:call("program.load", {
    fd = 0,
    name = arguments.name,
    global = arguments.global,
    metadata = arguments.metadata,
    map_owner_id = arguments.map_owner_id,
    persist = arguments.persist,
    attach = attach,
  }, { descriptors = passed.descriptors })
end

--- With -q.
function load_from_file.brief(program) return tostring(program.id) .. "\n" end

return load_from_file
