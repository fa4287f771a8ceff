-- The site's rules of who may load what where.

return require "bpfctl.family" {
  name = "policy",
  summary = "Show, reload, check and try the site's policies",
  commands = { "list", "reload", "check", "test", "events" },
}
