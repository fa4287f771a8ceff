-- Options that are taken anywhere on the line.

local formats = require "bpfctl.formats"

---@type bpfctl.option[]
return {
  { name = "quiet", short = "q", kind = "flag", text = "Print ids only" },
  {
    name = "output", short = "o", kind = "string", values = formats.built_in, default = "table",
    metavar = "FORMAT", text = "How to print", check = formats.check, complete = formats.names,
  },
  {
    name = "socket", kind = "string", metavar = "PATH", text = "Where bpfd listens",
    complete = "file",
  },
}
