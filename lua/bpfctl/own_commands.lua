-- Commands that users and sites add: NAME.lua in their folders is `bpfctl NAME`.

local error_object = require "bpf.error"
local nearest = require "bpf.nearest"
local sorted_keys = require "bpf.sorted_keys"
local own_files = require "bpfctl.own_files"

local own_commands = {}

-- What a declaration may hold, and of which type; a type that ends in ? may be absent.
local command_keys <const> = {
  summary = "string", run = "function", options = "table?", operands = "table?",
  verbatim = "boolean?", draws = "string or function?", columns = "table?", brief = "function?",
  validate = "function?", status = "function?",
}
local option_keys <const> = {
  name = "string", kind = "string", text = "string", short = "string?", metavar = "string?",
  required = "boolean?", default = "any?", minimum = "number?", maximum = "number?",
  values = "table?", check = "function?", finish = "function?", repeated = "boolean?",
  most = "number?", may_be_empty = "boolean?", complete = "string or function?",
}
local kinds <const> = { "string", "integer", "flag", "choice" }

local function fits(value, wanted)
  if value == nil then return wanted:sub(-1) == "?" end
  return wanted == "any?" or wanted:find(type(value), 1, true) ~= nil
end

local function check_keys(declared, known)
  for key in pairs(declared) do
    if not known[key] then
      return ("has no key %s; did you mean %s?"):format(tostring(key),
        nearest(tostring(key), sorted_keys(known)))
    end
  end
  for _, name in ipairs(sorted_keys(known)) do
    if not fits(declared[name], known[name]) then
      return ("needs a %s that is a %s, not %s"):format(name, known[name]:gsub("%?", ""),
        type(declared[name]))
    end
  end
  return nil
end

local function check_list(list, what)
  if list == nil then return nil end
  for i = 1, #list do
    if type(list[i]) ~= "string" then return ("has %s that are not all texts"):format(what) end
  end
  return #list == 0 and ("has no %s"):format(what) or nil
end

local function check_option(option)
  local wrong = check_keys(option, option_keys)
  if wrong then return wrong end
  if not option.name:find "^%l[%l%d_]*$" then
    return ("has the name '%s'; names are small letters, digits and _"):format(option.name)
  end
  if option.short and not option.short:find "^%a$" then return "has a short that is no letter" end
  local is_known = false
  for _, kind in ipairs(kinds) do is_known = is_known or option.kind == kind end
  if not is_known then
    return ("has no kind '%s'; did you mean %s?"):format(option.kind, nearest(option.kind, kinds))
  end
  if option.kind == "choice" and not option.values then return "is a choice without values" end
  option.minimum = option.minimum or math.mininteger
  option.maximum = option.maximum or math.maxinteger
  return check_list(option.values, "values")
end

local function check_columns(columns)
  for i, column in ipairs(columns or {}) do
    if type(column) ~= "table" or type(column[1]) ~= "string" or column[2] == nil then
      return ("has a column %d that is no pair of title and field"):format(i)
    end
  end
  return nil
end

local function check_options(list, what)
  local seen = {}
  for i, option in ipairs(list) do
    local wrong
    if type(option) == "table" then wrong = check_option(option) else wrong = "is no table" end
    if wrong then return ("%s %d %s"):format(what, i, wrong) end
    for _, name in ipairs { option.name, option.short } do
      if seen[name] then return ("%s %d is called %s like another"):format(what, i, name) end
      seen[name] = true
    end
  end
  return nil
end

local function check_operands(list)
  local wrong <const> = check_options(list, "operand")
  if wrong then return wrong end
  for i, operand in ipairs(list) do
    if operand.kind == "flag" then return ("operand %d cannot be a flag"):format(i) end
  end
  return nil
end

local function check(command)
  local wrong <const> = check_keys(command, command_keys)
  if wrong then return wrong end
  command.options = command.options or {}
  return check_options(command.options, "option") or check_columns(command.columns)
    or check_operands(command.operands or {})
end

--- Names of all there are, without those that are taken.
---@param taken table<string, any>
---@return string[]
function own_commands.names(taken)
  local names = {}
  for _, name in ipairs(own_files.names "commands") do
    if not taken[name] and name ~= "help" then names[#names + 1] = name end
  end
  return names
end

-- A command's own mistakes are told like any other failure, with where in its file they are.
local function guarded(command, path)
  local run <const> = command.run
  function command.run(session, arguments)
    local results <const> = table.pack(xpcall(run, function(raised)
      if error_object.is(raised) then return raised end
      return error_object.new {
        message = tostring(raised), log = debug.traceback(nil, 2), code = "EINVAL",
      }
    end, session, arguments))
    if not results[1] then return nil, results[2]:because("running " .. command.name) end
    local data, err = results[2], results[3]
    if data ~= nil then return data end
    if err == nil then return {} end
    if type(err) == "table" then return nil, err end
    return nil, error_object.new { message = tostring(err), code = "EINVAL" }:because(path)
  end
  return command
end

--- The command of this name, should there be one; an error when its file is no good.
---@param name string
---@return bpfctl.command?
---@return bpf.error?
function own_commands.find(name)
  local path <const> = own_files.find("commands", name)
  if not path then return nil end
  local command, err = own_files.load(path)
  if not command then return nil, err end
  local wrong <const> = check(command)
  if wrong then
    return nil, error_object.new { code = "EINVAL", message = ("%s %s"):format(path, wrong) }
  end
  command.name = name
  return guarded(command, path)
end

return own_commands
