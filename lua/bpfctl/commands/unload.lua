-- Unloads programs by id.

local shared = require "bpfctl.shared_options"

local unload = {
  name = "unload",
  summary = "Unload eBPF programs by program id",
  options = {
    {
      name = "missing_ok", kind = "flag",
      text = "An id that no longer exists is no error",
    },
    {
      name = "persisted", kind = "flag",
      text = [[
The ids are numbers of persisted programs, as status
shows them. What is not loaded now is given up.]],
    },
  },
  operands = { shared.program_ids(true) },
  draws = "nothing",
}

--- Each id for itself: one that cannot be unloaded does not keep the others.
function unload.run(session, arguments)
  local failures = {}
  for _, id in ipairs(arguments.id) do
    local result, err = session:call("program.unload", {
      [arguments.persisted and "persisted" or "id"] = id, missing_ok = arguments.missing_ok,
    })
    if not result then failures[#failures + 1] = err end
    if session.exit then break end
  end
  if #failures > 0 then return nil, failures end
  return {}
end

return unload
