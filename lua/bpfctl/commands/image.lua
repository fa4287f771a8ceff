-- Images: what the daemon's store has, and images of one's own.

return require "bpfctl.family" {
  name = "image",
  summary = "List and remove bytecode images, build and push new ones",
  commands = { "list", "inspect", "remove", "prune", "build", "push" },
}
