-- Looks for what has vanished or changed behind bpfd's back, and mends it.

local exit = require "bpfctl.exit"

local doctor = {
  name = "doctor",
  summary = "Find what was changed behind bpfd's back, and mend it",
  options = {
    {
      name = "repair", kind = "flag",
      text = [[
Mend what can be mended without guessing. Without it nothing changes.
What somebody else has put in the place of a chain is never touched.]],
    },
  },
  draws = function(report, style) return require "bpfctl.format.findings"(report, style) end,
}

function doctor.run(session, arguments)
  local report, err = session:call("system.doctor", { repair = arguments.repair })
  if report then return report end
  if session.exit ~= exit.unavailable then return nil, err end
  return require("bpfctl.without_daemon").examine(session.options.socket, err)
end

--- With -q: the exit code tells.
function doctor.brief() return "" end

--- The code to leave with.
function doctor.status(report)
  if not report.daemon then return exit.unavailable end
  for _, finding in ipairs(report.findings) do
    if finding.state ~= "repaired" then return exit.failure end
  end
  return exit.success
end

return doctor
