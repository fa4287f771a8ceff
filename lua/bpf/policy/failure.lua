-- How a policy's failures are told: file, line, what happened, what to do.

local error_object = require "bpf.error"

local failure = {}

local advice <const> = {
  instructions = "make it do less, or raise policy.instructions in bpfd.lua",
  memory = "let it keep less in state, or raise policy.memory in bpfd.lua",
  time = "make it do less, or raise policy.time in bpfd.lua",
  error = "mend it; bpfctl policy check FILE says whether it is whole",
  crash = "make it do less at once, as patterns that nest deeply do",
  wall = "the machine may be too busy: try again, or make it do less",
}

--- What Lua calls a policy file in its messages: its paths it would cut.
failure.chunk_name = "=(policy)"

--- A failure of a file, or of one of its hooks.
---@param kind "error"|"instructions"|"memory"|"time"|"crash"|"wall"
---@param message string  Lua's own begin with a line, others get that of the hook
---@param file string
---@param line integer?
---@return bpf.error
function failure.new(kind, message, file, line)
  local own <const>, rest = message:match "^%(policy%):(%d+): (.*)$"
  message = ("%s:%d: %s"):format(file, own or line or 1, rest or message)
  return error_object.new { code = "EINVAL", message = (message:gsub("%c+", " ")),
    advice = advice[kind] }
end

return failure
