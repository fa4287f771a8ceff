-- Help pages, in the layout of the guide's load-from-file page.

local field = require "bpf.field"
local options = require "bpfctl.options"
local printable = require "bpfctl.printable"
local values_of = require "bpfctl.values"

local help = {}

local indent <const> = (" "):rep(10)
local widest_line <const> = 84

local function heading(title) return title .. "\n" .. ("-"):rep(#title) .. "\n" end

local function with_metavar(option)
  if option.kind == "flag" then return values_of.long(option) end
  local more <const> = (option.continues or option.kind == "choices") and "..." or ""
  return ("%s <%s>%s"):format(values_of.long(option), values_of.metavar(option), more)
end

local function left_side(option)
  local short <const> = option.short and ("-%s, "):format(option.short) or "    "
  return "  " .. short .. with_metavar(option)
end

-- "[possible values: a, b]", further lines under the first value.
local function bracketed(title, list)
  local start <const> = indent .. "[" .. title .. ": "
  local lines, line = {}, start
  for i, value in ipairs(list) do
    local item <const> = value .. (i < #list and "," or "]")
    local gap <const> = (line == start or line:find "^%s+$") and "" or " "
    if #line + #gap + #item > widest_line then
      lines[#lines + 1] = line
      line = (" "):rep(#start) .. item
    else
      line = line .. gap .. item
    end
  end
  if #list == 0 then line = line .. "]" end
  lines[#lines + 1] = line
  return table.concat(lines, "\n") .. "\n"
end

local function default_list(option)
  local default <const> = field.default(option)
  if default == nil or option.kind == "flag" then return nil end
  return type(default) == "table" and default or { tostring(default) }
end

local function text_of(option)
  local prefix <const> = option.name == "help" and "" or option.required and "Required: "
    or "Optional: "
  local lines = {}
  for line in (prefix .. option.text .. "\n"):gmatch "([^\n]*)\n" do
    lines[#lines + 1] = (line == "" and "" or indent .. line) .. "\n"
  end
  return table.concat(lines)
end

local function described(option, left)
  local parts = { left .. "\n" .. text_of(option) }
  if option.values then parts[#parts + 1] = bracketed("possible values", option.values) end
  local default <const> = default_list(option)
  if default then parts[#parts + 1] = bracketed("default", default) end
  return table.concat(parts, "\n")
end

local function required_of(command)
  local words = {}
  for _, option in ipairs(command.options) do
    if option.required then words[#words + 1] = with_metavar(option) end
  end
  return words
end

local function has_optional(command)
  for _, option in ipairs(command.options) do
    if not option.required then return true end
  end
  return false
end

local function operand_words(operand)
  local word <const> = (operand.required and "<%s>" or "[%s]"):format(values_of.metavar(operand))
  return word .. (operand.repeated and "..." or "")
end

--- The words of a usage line. Each command above gives its name and what it requires, as the
--- guide's pages of types do.
---@param level table  command, and the level above
---@return string
function help.usage(level)
  local commands, words = {}, {}
  local at = level
  while at do
    table.insert(commands, 1, at.command)
    at = at.above
  end
  for i, command in ipairs(commands) do
    words[#words + 1] = command.name
    if i > 1 and i == #commands and has_optional(command) then words[#words + 1] = "[OPTIONS]" end
    for _, required in ipairs(required_of(command)) do words[#words + 1] = required end
  end
  local command <const> = level.command
  if command.commands then words[#words + 1] = "<COMMAND>" end
  for _, operand in ipairs(command.operands or {}) do
    words[#words + 1] = operand_words(operand)
  end
  return table.concat(words, " ")
end

-- Name and text on one line, texts under each other.
local function in_columns(rows)
  local width = 0
  for _, row in ipairs(rows) do width = math.max(width, #row[1]) end
  local lines = {}
  for i, row in ipairs(rows) do
    lines[i] = row[1] .. (" "):rep(width - #row[1] + 2) .. row[2] .. "\n"
  end
  return table.concat(lines)
end

local function commands_part(command)
  local rows = {}
  for i, name in ipairs(options.commands_of(command)) do
    local found, err = command.find(name)
    rows[i] = { "  " .. name, found and found.summary or printable(tostring(err)) }
  end
  rows[#rows + 1] = { "  help", "Print this page, or that of the command behind it" }
  return heading "Commands:" .. in_columns(rows)
end

local help_option <const> = { name = "help", short = "h", kind = "flag", text = "Print help" }

local function short_options_part(command)
  local rows = {}
  local function add(option)
    local text = option.text
    if option.values then
      text = ("%s [possible values: %s] [default: %s]"):format(text,
        table.concat(option.values, ", "), option.default)
    end
    rows[#rows + 1] = { left_side(option), text }
  end
  for _, option in ipairs(options.common) do add(option) end
  add(help_option)
  for _, option in ipairs(command.options) do add(option) end
  return heading "Options:" .. in_columns(rows)
end

local function operands_part(command)
  local parts = {}
  for i, operand in ipairs(command.operands) do
    parts[i] = described(operand, "  " .. operand_words(operand))
  end
  return heading "Arguments:" .. table.concat(parts, "\n")
end

local function options_part(command)
  local parts = {}
  for _, option in ipairs(command.options) do
    parts[#parts + 1] = described(option, left_side(option))
  end
  parts[#parts + 1] = described(help_option, left_side(help_option))
  return heading "Options:" .. table.concat(parts, "\n")
end

--- The page of a command.
---@param level table  of the parsed line
---@return string
function help.page(level)
  local command <const> = level.command
  local line <const> = "Usage: " .. help.usage(level) .. "\n" .. ("-"):rep(#"Usage:") .. "\n"
  local parts = { command.summary .. "\n", line }
  if command.commands then parts[#parts + 1] = commands_part(command) end
  if command.operands then parts[#parts + 1] = operands_part(command) end
  local is_top <const> = not level.above
  parts[#parts + 1] = is_top and short_options_part(command) or options_part(command)
  return table.concat(parts, "\n")
end

return help
