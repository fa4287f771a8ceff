-- Finds the format that --output names: built in, a file, or one of the user's or the site's.

local error_object = require "bpf.error"
local field = require "bpf.field"

---@class bpfctl.style  what a format may know of the place where its text is going to stand
---@field color boolean    escape sequences are welcome
---@field bold boolean     the same, for headings
---@field width integer?   columns of the terminal; nil where there is none
---@field columns string[][]?  of the command: pairs of a title and a field of the rows

---@alias bpfctl.draw fun(data: any, style: bpfctl.style, kind: string): string

---@class bpfctl.format: { [string]: bpfctl.draw }  a function for each kind of data
---@field any bpfctl.draw?   for kinds without a function of their own
---@field nulls boolean?     what is absent is bpf.json.null instead of nil

local formats = {}

formats.built_in = { "table", "wide", "json", "yaml" }

local function is_path(name) return name:find("/", 1, true) or name:find "%.lua$" end

local function own_files() return require "bpfctl.own_files" end

--- All names that --output takes.
---@return string[]
function formats.names()
  local names = table.move(formats.built_in, 1, #formats.built_in, 1, {})
  for _, name in ipairs(own_files().names "formats") do
    if not field.is_one_of(name, formats.built_in) then names[#names + 1] = name end
  end
  return names
end

--- What is wrong with a name; whether a file can be read is not looked at.
---@return string?
function formats.check(name)
  if field.is_one_of(name, formats.built_in) or is_path(name) then return nil end
  if own_files().find("formats", name) then return nil end
  return field.unknown(name, formats.names())
end

local function check_functions(format, path)
  for key, value in pairs(format) do
    if key ~= "nulls" and type(value) ~= "function" then
      return nil, error_object.new {
        code = "EINVAL",
        message = ("%s: %s must be a function, not %s"):format(path, tostring(key), type(value)),
      }
    end
  end
  return format
end

---@param name string?
---@return bpfctl.format?
---@return bpf.error?
function formats.open(name)
  name = name or "table"
  if field.is_one_of(name, formats.built_in) then return require("bpfctl.format." .. name) end
  local path <const> = is_path(name) and name or own_files().find("formats", name)
  if not path then
    return nil, error_object.new { code = "ENOENT", message = "there is no format " .. name }
  end
  local format, err = own_files().load(path, is_path(name))
  if not format then return nil, err:because "reading a format" end
  return check_functions(format, path)
end

local function own_drawing(command)
  return type(command.draws) == "function" and command.draws
end

-- A command that draws itself does so where a person looks; other formats draw its data.
local function drawing_of(format, name, command)
  if own_drawing(command) and (not name or name == "table" or name == "wide") then
    return own_drawing(command)
  end
  return format[command.draws] or format.any
end

--- Whether a format can draw what a command is going to return: asked before the command runs.
---@return true?
---@return bpf.error?
function formats.can_draw(format, name, command)
  if command.draws == "nothing" or drawing_of(format, name, command) then return true end
  return nil, error_object.new {
    code = "EINVAL",
    message = ("the format %s has no function for %s"):format(name, command.draws or "any"),
    advice = "a function `any` in it would draw all that has none of its own",
  }
end

---@param format bpfctl.format
---@param name string?
---@param command bpfctl.command
---@param style bpfctl.style
---@return string? text
---@return bpf.error?
function formats.draw(format, name, command, data, style)
  if command.draws == "nothing" then return "" end
  style.columns = command.columns
  local draw <const> = drawing_of(format, name, command)
  if command.plain and draw == format.any then data = command.plain(data) end
  local kind <const> = type(command.draws) == "string" and command.draws or "any"
  if field.is_one_of(name or "table", formats.built_in) and draw ~= own_drawing(command) then
    return draw(data, style, kind)
  end
  local text, err = own_files().call(draw, data, style, kind)
  if not err and type(text) ~= "string" then
    err = error_object.new {
      code = "EINVAL", message = ("%s is no text but a %s"):format(kind, type(text)),
    }
  end
  if not err then return text end
  return nil, err:because("drawing with " .. (name or command.name))
    :with_advice "the command itself was carried out"
end

return formats
