-- bpfctl itself as a command: what stands directly behind it.

-- In the order of the help page; load-from-file is commands/load_from_file.lua.
local commands <const> = {
  "load-from-file",
  "load-from-image",
  "unload",
  "list",
  "get",
  "pull-bytecode",
  "image",
  "apply",
  "export",
  "chain",
  "map",
  "policy",
  "status",
  "reload",
  "features",
  "doctor",
  "run",
  "repl",
  "completion",
}

local is_built_in = {}
for _, name in ipairs(commands) do is_built_in[name] = true end

return {
  name = "bpfctl",
  summary = "Load, list and unload eBPF programs through bpfd",
  noun = "command",
  commands = commands,
  find = function(name)
    if is_built_in[name] then return require("bpfctl.commands." .. name:gsub("-", "_")) end
    return require("bpfctl.own_commands").find(name)
  end,
  more = function() return require("bpfctl.own_commands").names(is_built_in) end,
  options = { { name = "version", short = "V", kind = "flag", text = "Print version" } },
}
