-- Says what went wrong: one line on stderr, the verifier's log behind it.

local printable = require "bpfctl.printable"

local report = {}

local function one_line(text)
  return printable((text:gsub("%s*\n%s*", "; "):gsub("; $", "")))
end

local function as_json(err)
  local json <const> = require "bpf.json"
  local fields = {}
  for _, name in ipairs { "code", "message", "doing", "advice", "log", "hook" } do
    fields[name] = err[name] == nil and json.null or err[name]
  end
  return json.encode { error = fields } .. "\n"
end

--- A request that failed.
---@param err bpf.error
---@param format string  as of --output
function report.failure(err, format)
  if format == "json" then
    io.stderr:write(as_json(err))
    return
  end
  local line = tostring(err)
  if err.advice then line = line .. "; " .. err.advice end
  io.stderr:write("bpfctl: ", one_line(line), "\n")
  if err.log then
    io.stderr:write(printable(err.log, "\n\t"), err.log:sub(-1) == "\n" and "" or "\n")
  end
end

--- A line that could not be understood.
---@param problem { message: string, path: string[] }
---@param is_json boolean
function report.usage(problem, is_json)
  local words = { "bpfctl", table.unpack(problem.path) }
  local advice <const> = ("try '%s --help'"):format(table.concat(words, " "))
  if is_json then
    io.stderr:write(as_json { code = "EINVAL", message = problem.message, advice = advice })
    return
  end
  io.stderr:write("bpfctl: ", one_line(problem.message), "\n", advice, "\n")
end

return report
