-- Lets bpfd read its policies and the declarations of programs.d anew.

local error_object = require "bpf.error"

local reload = {
  name = "reload",
  summary = "Read the policies and programs.d anew; broken files change nothing",
  options = {},
  draws = "nothing",
}

function reload.run(session)
  local result, err = session:call("system.reload", {})
  if not result then return nil, err end
  local failures = {}
  for i, failed in ipairs(result.failed) do
    failures[i] = error_object.new { code = "EINVAL", message = failed.problem }
      :because("applying " .. failed.name)
  end
  if #failures > 0 then return nil, failures end
  return {}
end

return reload
