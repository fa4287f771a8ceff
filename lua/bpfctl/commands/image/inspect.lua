-- Shows one image.

local shared = require "bpfctl.shared_options"

local inspect = {
  name = "inspect",
  summary = "Show what is in a stored bytecode image, and who signed it",
  options = {},
  operands = { shared.image_operand() },
  draws = "image",
}

function inspect.run(session, arguments)
  return session:call("image.inspect", { image_url = arguments.image_url[1] })
end

return inspect
