-- Shows all that is known of one program.

local shared = require "bpfctl.shared_options"

local get = {
  name = "get",
  summary = "Show what bpfd and the kernel know of a program",
  options = {},
  operands = { shared.program_ids(false) },
  draws = "program",
}

function get.run(session, arguments)
  return session:call("program.get", { id = arguments.id[1] })
end

return get
