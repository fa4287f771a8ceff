-- What every target asks of what is refused.

local error_object = require "bpf.error"

local check = {}

--- An error object with a sentence that was meant for people: not what Lua says of a fault of ours.
---@param err any
function check.refusal(err)
  if not error_object.is(err) then error("refused without an error object: " .. tostring(err)) end
  local message <const> = tostring(err)
  if message == "" then error "refused without a word" end
  if message:find "lua/bpf[%w_/]*%.lua:%d+:" then error("a fault as a refusal: " .. message) end
end

--- The value of a call that gives either one, or nil and an error object.
---@return any value
function check.result(value, err)
  if value == nil then check.refusal(err) end
  return value
end

return check
