-- bpfctl itself as a command: what stands directly behind it.

local modules <const> = {
  ["load-from-file"] = "load_from_file",
  ["load-from-image"] = "load_from_image",
  unload = "unload",
  list = "list",
  get = "get",
  ["pull-bytecode"] = "pull_bytecode",
  image = "image",
  map = "map",
  policy = "policy",
  features = "features",
  run = "run",
  repl = "repl",
}

return {
  name = "bpfctl",
  summary = "Load, list and unload eBPF programs through bpfd",
  noun = "command",
  commands = {
    "load-from-file", "load-from-image", "unload", "list", "get", "pull-bytecode", "image", "map",
    "policy", "features", "run", "repl",
  },
  find = function(name)
    local module <const> = modules[name]
    if module then return require("bpfctl.commands." .. module) end
    return require("bpfctl.own_commands").find(name)
  end,
  more = function() return require("bpfctl.own_commands").names(modules) end,
  options = { { name = "version", short = "V", kind = "flag", text = "Print version" } },
}
