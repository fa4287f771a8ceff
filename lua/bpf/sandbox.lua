-- Runs a Lua file that only describes something: no files, no modules, no end of its patience.

local system = require("bpf.core").system
local error_object = require "bpf.error"

local sandbox = {}

local MEMORY <const> = 256 << 20
local PAGE <const> = 4096 -- at least

local function copy(library, names)
  local result = {}
  for name in names:gmatch "%S+" do result[name] = library[name] end
  return result
end

local function environment(extra)
  local env = {
    ipairs = ipairs, pairs = pairs, next = next, select = select, type = type,
    tonumber = tonumber, tostring = tostring, error = error, assert = assert,
    string = copy(string, "byte char find format gmatch gsub len lower match rep reverse " ..
      "sub upper"),
    table = copy(table, "concat insert move pack remove sort unpack"),
    math = copy(math, "abs ceil floor fmod huge max maxinteger min mininteger tointeger type ult"),
  }
  for name, value in pairs(extra or {}) do env[name] = value end
  return env
end

local function read(path)
  local file <close>, message, code = io.open(path, "r")
  if not file then
    return nil, error_object.new {
      code = code == 2 and "ENOENT" or "EACCES", message = "cannot read " .. message,
    }
  end
  local text, failure = file:read "a"
  if not text then
    return nil, error_object.new { code = "EIO",
      message = ("cannot read %s: %s"):format(path, failure) }
  end
  return text
end

--- The text of a file.
---@param path string
---@return string? text, bpf.error? err
sandbox.read = read

-- No hook sees how much one concatenation takes; so all of the process has an end meanwhile.
local function with_limited_memory(f, ...)
  local file <close> = io.open "/proc/self/statm"
  local pages <const> = file and file:read("a"):match "%d+ %d+ %d+ %d+ %d+ (%d+)"
  local before <const> = pages and system.limit_data(tonumber(pages) * PAGE + MEMORY)
  local good, value = f(...)
  if before then system.limit_data(before) end
  return good, value
end

local function complaint_of(thread, value)
  if value ~= "not enough memory" then return tostring(value) end
  local level = 0
  local where = debug.getinfo(thread, level, "Sl")
  while where and where.currentline < 0 do
    level = level + 1
    where = debug.getinfo(thread, level, "Sl")
  end
  return ("%s:%d: it needs more than %d MiB"):format(where and where.short_src or "?",
    where and where.currentline or 0, MEMORY >> 20)
end

--- What `load` or `loadfile` gives. Of nesting without end Lua's parser tells a caller's message
--- handler, which makes a traceback of it, and says no place.
---@param name string  that messages call it
---@param loader function
---@param ... any  its arguments
---@return function? chunk, string? complaint
function sandbox.compile(name, loader, ...)
  local _, chunk, complaint = pcall(loader, ...)
  if complaint == "C stack overflow" then complaint = name .. ": it is nested too deeply" end
  return chunk, complaint
end

--- What the text returns. It sees string, table and math, and may run that many instructions.
---@param text string
---@param name string  that messages call it
---@param options { instructions: integer, environment: table? }
---@return any value, bpf.error? err
function sandbox.run_text(text, name, options)
  local chunk, complaint = sandbox.compile(name, load, text, "@" .. name, "t",
    environment(options.environment))
  if not chunk then return nil, error_object.new { code = "EINVAL", message = complaint } end
  local thread = coroutine.create(chunk)
  debug.sethook(thread, function() error("it runs for too long", 2) end, "", options.instructions)
  local good, value = with_limited_memory(coroutine.resume, thread)
  if good and coroutine.status(thread) == "dead" then return value end
  if error_object.is(value) then
    coroutine.close(thread)
    return nil, value
  end
  local message <const> = complaint_of(thread, value)
  coroutine.close(thread)
  return nil, error_object.new { code = "EINVAL", message = message }
end

--- What the file returns, likewise.
---@param path string
---@param options { instructions: integer, environment: table? }
---@return any value, bpf.error? err
function sandbox.run(path, options)
  local text, err = read(path)
  if not text then return nil, err end
  return sandbox.run_text(text, path, options)
end

return sandbox
