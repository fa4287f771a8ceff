-- bpfctl: reads the line, lets the command run, draws what it returns.

local exit = require "bpfctl.exit"
local formats = require "bpfctl.formats"
local options = require "bpfctl.options"
local root = require "bpfctl.root"

local function write(stream, text)
  local written, why = stream:write(text)
  if written then written, why = stream:flush() end
  if written then return true end
  io.stderr:write("bpfctl: cannot write the output: ", why, "\n")
  return false
end

local function print_page(level, stream)
  local page <const> = require("bpfctl.help").page(level)
  return write(stream or io.stdout, page)
end

-- The command that runs is the innermost that can; what stands behind it is load-from-file's type,
-- whose values are its `attach`.
local function arguments_of(invocation)
  local at = #invocation.levels
  while at > 1 and not invocation.levels[at].command.run do at = at - 1 end
  local outer <const>, inner <const> = invocation.levels[at], invocation.levels[at + 1]
  local arguments = {}
  for name, value in pairs(outer.values) do arguments[name] = value end
  if inner then arguments.type, arguments.attach = inner.command.name, inner.values end
  return outer.command, arguments
end

local function fail(session, errors, common)
  local report <const> = require "bpfctl.report"
  if require("bpf.error").is(errors) then errors = { errors } end
  for _, err in ipairs(errors) do report.failure(err, common.output) end
  return session.exit or exit.failure
end

local function draw(format, command, data, common)
  if common.quiet then return command.brief and command.brief(data) or "" end
  return formats.draw(format, common.output, command, data, require "bpfctl.style"())
end

-- A format that cannot draw the outcome is found out before anything is done.
local function open_format(command, common)
  local format, err = formats.open(common.output)
  if not format then return nil, err end
  local able
  able, err = formats.can_draw(format, common.output, command)
  return able and format, err
end

-- What comes piece by piece is drawn and written so: the data is a function that gives the next.
local function write_pieces(format, command, pieces, common)
  for piece in pieces do
    local text, err = draw(format, command, piece, common)
    if not text then return nil, err end
    if text ~= "" and not write(io.stdout, text) then return exit.failure end
  end
  return exit.success
end

local function write_whole(format, command, data, common)
  local text, err = draw(format, command, data, common)
  if not text then return nil, err end
  if text ~= "" and not write(io.stdout, text) then return exit.failure end
  return command.status and command.status(data) or exit.success
end

local function run(invocation)
  local command, arguments = arguments_of(invocation)
  local common <const> = invocation.common
  local format, err = open_format(command, common)
  if not format then return fail({}, err, common) end
  local session <close> = require("bpfctl.session").new {
    socket = common.socket, null = format.nulls, quiet = common.quiet,
  }
  local data, errors = command.run(session, arguments)
  if data == nil then return fail(session, errors, common) end
  local write_data <const> = type(data) == "function" and write_pieces or write_whole
  local ok, code, failure = pcall(write_data, format, command, data, common)
  if ok and code then return code end
  if not ok and not require("bpf.error").is(code) then error(code, 0) end
  return fail(session, ok and failure or code, common)
end

---@param argv string[]
---@return integer exit_code
return function(argv)
  local invocation, problem = options.parse(root, argv)
  if not invocation and problem.failure then
    return fail({}, problem.failure, { output = options.wants_json(argv) and "json" })
  end
  if not invocation then
    require("bpfctl.report").usage(problem, options.wants_json(argv))
    return exit.usage
  end
  if invocation.shows_help then
    return print_page(invocation.level) and exit.success or exit.failure
  end
  if invocation.level.values.version then
    local version <const> = require("bpf.core").system.version
    return write(io.stdout, "bpfctl " .. version .. "\n") and exit.success or exit.failure
  end
  if #invocation.levels == 0 then
    print_page(invocation.level, io.stderr)
    return exit.usage
  end
  return run(invocation)
end
