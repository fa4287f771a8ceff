-- The REPL: from lines to values, from a terminal, a pipe or the command line.

local core = require "bpf.core"
local error_object = require "bpf.error"
local evaluate = require "bpfctl.repl.evaluate"
local printable = require "bpfctl.printable"
local script = require "bpfctl.script"

local first_prompt <const>, next_prompt <const> = "> ", ">> "

-- Runs a chunk and shows what it gives; all of it can be ended by Ctrl-C.
local function run(chunk, style)
  return script.call(function()
    io.stdout:write(evaluate.shown(table.pack(chunk()), style))
    io.stdout:flush()
  end)
end

local function syntax_error(why) return error_object.new { code = "EINVAL", message = why } end

-- Lines until they are a chunk; nil at the end of input.
---@return string? text
---@return function? chunk
---@return string? why   there is none
local function read_lines(reader)
  local text, chunk, why, is_incomplete = nil, nil, nil, true
  while is_incomplete do
    local line <const> = reader:read(text and next_prompt or first_prompt)
    if not line then return text, nil, why end
    text = text and text .. "\n" .. line or line
    if text:find "^%s*$" then
      text = nil
    else
      chunk, why, is_incomplete = evaluate.compile(text)
    end
  end
  return text, chunk, why
end

-- The same, to be ended by Ctrl-C. Where in bpfctl reading failed is nobody's business.
---@return boolean ok
---@return string|bpf.error|nil text
---@return function? chunk
---@return string? why
local function read_chunk(reader)
  local ok, text, chunk, why = script.call(read_lines, reader)
  if not ok then text.log = nil end
  return ok, text, chunk, why
end

local function show_error(err, style)
  local line = script.is_interruption(err) and "interrupted" or tostring(err)
  if err.advice then line = line .. "; " .. err.advice end
  if style.color then line = "\27[31m" .. printable(line, "\n\t") .. "\27[0m" end
  io.stderr:write(style.color and line or printable(line, "\n\t"), "\n")
  if err.log and not script.is_interruption(err) then
    io.stderr:write((printable(err.log, "\n\t"):gsub("\n*$", "\n")))
  end
end

-- A person at a terminal: errors are shown, and it goes on.
local function converse(reader, style)
  core.interrupt.ignore()
  io.stdout:write(("bpfd %s, %s: bpf and client are at hand, Ctrl-D leaves\n"):format(
    core.system.version, _VERSION))
  while true do
    local ok, text, chunk, why = read_chunk(reader)
    if ok and not text then break end
    if not ok then
      local err <const> = text
      io.stdout:write "\n"
      if not script.is_interruption(err) then return nil, err end
    elseif not chunk then
      show_error(syntax_error(why), style)
    else
      local done, err = run(chunk, style)
      if not done then show_error(err, style) end
    end
  end
  io.stdout:write "\n"
  return {}
end

-- What comes through a pipe: the first error ends it.
local function read_all(reader, style)
  while true do
    local ok, text, chunk, why = read_chunk(reader)
    if not ok then return nil, text end
    if not text then return {} end
    if not chunk then return nil, syntax_error(why) end
    local done, err = run(chunk, style)
    if not done then return nil, err end
  end
end

local function execute(codes, style)
  for _, code in ipairs(codes) do
    local chunk, why = evaluate.compile(code)
    if not chunk then return nil, syntax_error(why) end
    local done, err = run(chunk, style)
    if not done then return nil, err end
  end
  return {}
end

---@param session bpfctl.session
---@param codes string[]?   instead of lines
return function(session, codes)
  script.prepare(session)
  local style <const> = require "bpfctl.style"()
  local reader <close> = not codes and require "bpfctl.repl.reader"() or nil
  local data, err
  if codes then
    data, err = execute(codes, style)
  elseif reader.is_terminal then
    data, err = converse(reader, style)
  else
    data, err = read_all(reader, style)
  end
  if err and script.is_interruption(err) then
    session.exit = require("bpfctl.exit").interrupted
  end
  return data, err
end
