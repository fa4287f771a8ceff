-- Times as they stand in JSON.

local time = {}

--- RFC 3339, UTC, whole seconds.
---@param nanoseconds integer  since the epoch
---@return string
function time.text(nanoseconds)
  return os.date("!%Y-%m-%dT%H:%M:%SZ", nanoseconds // 1000000000) --[[@as string]]
end

return time
