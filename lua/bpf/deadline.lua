-- A time limit for a block of code.

local core = require "bpf.core"
local error_object = require "bpf.error"

local function answer(seconds, in_time, ...)
  if in_time then return ... end
  return nil, error_object.new {
    code = "ETIMEDOUT", message = ("not done after %g s"):format(seconds),
  }
end

--- Calls f and ends it when the time is up: by an error that is raised in it wherever it is, so
--- that `<close>` values are closed, and that comes back as ETIMEDOUT. Calls of this module that
--- wait are ended, too. Deadlines may be nested. Takes SIGALRM while it runs.
---@param seconds number
---@param f function
---@param ... any   for f
---@return any ...   what f returns; nil and an error when the time was up
return function(seconds, f, ...)
  return answer(seconds, core.interrupt.deadline(seconds, f, ...))
end
