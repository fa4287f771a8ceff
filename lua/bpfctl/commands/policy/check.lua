-- Tells whether policy files are whole, without bpfd.

local check = {
  name = "check",
  summary = "Run policy files as bpfd would, and show the hooks that they add",
  options = {},
  operands = {
    {
      name = "file", kind = "string", repeated = true, required = true,
      text = "Policy files, which are checked together",
    },
  },
  draws = "policies",
}

function check.run(_, arguments)
  local opened <close>, err = require("bpf.policy").open(arguments.file)
  if not opened then return nil, err end
  return { hooks = opened.hooks }
end

check.brief = require("bpfctl.commands.policy.list").brief

return check
