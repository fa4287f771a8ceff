-- Images: what the daemon's store has, and images of one's own.

return require "bpfctl.family" {
  name = "image",
  summary = "List and remove bytecode images, build, push, sign and verify",
  commands = { "list", "inspect", "remove", "prune", "build", "push", "sign", "verify",
    "generate-keys" },
}
