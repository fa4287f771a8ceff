-- Lists the policies in force.

local list = {
  name = "list",
  summary = "List the hooks in force, in the order in which they are asked",
  options = {},
  draws = "policies",
}

function list.run(session) return session:call("policy.list", {}) end

--- With -q.
function list.brief(policies)
  local lines = {}
  for i, hook in ipairs(policies.hooks) do lines[i] = hook.name .. "\n" end
  return table.concat(lines)
end

return list
