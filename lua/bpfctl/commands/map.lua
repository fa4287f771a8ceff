-- The maps of what is loaded.

return require "bpfctl.family" {
  name = "map",
  summary = "List eBPF maps, and read and write their entries",
  commands = { "list", "show", "get", "set", "delete", "watch" },
}
