-- Words of the command line as values of options.

local field = require "bpf.field"

local values = {}

function values.long(option) return "--" .. option.name:gsub("_", "-") end

function values.metavar(option) return option.metavar or option.name:upper() end

local function read_number(option, word)
  if not word:find "^%-?%d+$" and not (word:find "^0[xX]%x+$" and #word <= 18) then
    return nil, option.not_a_number or ("must be a number, not '%s'"):format(word)
  end
  local number, why = field.read(option, tonumber(word))
  if why then return nil, ("%s, not %s"):format(why, word) end
  return number
end

--- One word of an option's value.
---@return any value
---@return string? why   it is refused; reads well behind the option's name
function values.read_word(option, word)
  if option.kind == "integer" then return read_number(option, word) end
  if option.kind == "choice" then return field.read(option, word) end
  if word == "" then return nil, "must not be empty" end
  if option.check then
    local why = option.check(word)
    if why then return nil, why end
  end
  return word
end

--- All words of an option together.
---@return any value
---@return string? why
function values.finish(option, value)
  if value == nil then return nil end
  if option.kind == "choices" then return field.read(option, value) end
  if option.finish then return option.finish(value) end
  return value
end

--- What a level still needs, as the usage line writes it.
---@return string[]
function values.missing(level)
  local missing = {}
  for _, option in ipairs(level.command.options) do
    if option.required and level.values[option.name] == nil then
      missing[#missing + 1] = ("%s <%s>"):format(values.long(option), values.metavar(option))
    end
  end
  local operand <const> = level.command.operand
  if operand and not level.values[operand.name] then
    missing[#missing + 1] = ("<%s>"):format(values.metavar(operand))
  end
  return missing
end

return values
