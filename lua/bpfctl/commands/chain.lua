-- What runs on the hooks.

return require "bpfctl.family" {
  name = "chain",
  summary = "List the chains of programs on XDP and TC hooks",
  commands = { "list" },
}
