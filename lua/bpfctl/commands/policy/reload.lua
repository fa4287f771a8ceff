-- Puts the policies in force that the files tell now.

local reload = {
  name = "reload",
  summary = "Read the policy files anew; broken ones change nothing",
  options = {},
  draws = "nothing",
}

function reload.run(session) return session:call("policy.reload", {}) end

return reload
