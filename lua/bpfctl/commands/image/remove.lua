-- Removes images from the daemon's store.

local shared = require "bpfctl.shared_options"

local remove = {
  name = "remove",
  summary = "Remove bytecode images from the store",
  options = {
    {
      name = "missing_ok", kind = "flag",
      text = "An image that is not there is no error",
    },
  },
  operands = { shared.image_operand(true) },
  draws = "nothing",
}

--- Each image for itself: one that cannot be removed does not keep the others.
function remove.run(session, arguments)
  local failures = {}
  for _, url in ipairs(arguments.image_url) do
    local result, err = session:call("image.remove", { image_url = url })
    if not result and not (err.code == "ENOENT" and arguments.missing_ok) then
      failures[#failures + 1] = err
    end
    if session.exit then break end
  end
  if #failures > 0 then return nil, failures end
  return {}
end

return remove
