-- Lua code of users: with bpf and client at hand, ended by Ctrl-C, its errors with their traceback.

local core = require "bpf.core"
local error_object = require "bpf.error"

local script = {}

--- Puts `bpf` and `client` among the globals. The client connects when it is first used, and is
--- closed with the session.
---@param session bpfctl.session
function script.prepare(session)
  core.interrupt.follow_coroutines()
  session.client = require("bpf.client").on_demand { socket = session.options.socket }
  rawset(_G, "bpf", require "bpf")
  rawset(_G, "client", session.client)
end

-- Without the frames of bpfctl that every traceback ends with.
local function shortened(traceback)
  local own <const> = traceback:find "\n\tlua/bpfctl/"
  local lines = own and traceback:sub(1, own - 1) or traceback
  return (lines:gsub("\n\t%[C%]: in [^\n]*'call'$", ""))
end

local function explained(raised)
  local traceback <const> = shortened(debug.traceback(nil, 2))
  if error_object.is(raised) then
    local log <const> = raised.log and raised.log:gsub("\n*$", "\n") or ""
    local fields = { log = log .. traceback }
    for _, name in ipairs { "message", "code", "doing", "advice", "hook" } do
      fields[name] = raised[name]
    end
    local err = error_object.new { message = fields.message }
    for name, value in pairs(fields) do err[name] = value end
    return err
  end
  local meta <const> = type(raised) == "table" and getmetatable(raised)
  local text = tostring(raised)
  if type(raised) == "table" and not (meta and meta.__tostring) then
    text = "an error that is a table: " .. require("bpf.pretty").text(raised)
  end
  return error_object.new { message = text, log = traceback }
end

--- Whether an error means that the user has pressed Ctrl-C.
---@param err bpf.error
---@return boolean
function script.is_interruption(err) return err.code == "EINTR" and err.message == "interrupted" end

--- Calls a function of the user's.
---@return boolean ok
---@return any ...   its results, or an error object
function script.call(f, ...)
  return core.interrupt.call(explained, f, ...)
end

return script
