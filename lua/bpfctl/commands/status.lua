-- Shows how bpfd is: the daemon, its kernel, and what is declared and persisted.

local status = {
  name = "status",
  summary = "Show bpfd, its kernel, and what is declared and persisted",
  options = {},
  draws = "status",
}

function status.run(session) return session:call("system.status", {}) end

return status
