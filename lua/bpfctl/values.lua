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
  if word == "" and not option.may_be_empty then return nil, "must not be empty" end
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

-- The words of each operand: one for each that is required, what is then left from left to right.
local function share_out(operands, words)
  local spare, at, shares = #words, 1, {}
  for _, operand in ipairs(operands) do
    if operand.required then spare = spare - 1 end
  end
  for i, operand in ipairs(operands) do
    local count = operand.required and 1 or 0
    local room <const> = (operand.most or operand.repeated and math.huge or 1) - count
    local more <const> = math.max(0, math.min(spare, room))
    count, spare = count + more, spare - more
    shares[i] = table.move(words, at, at + count - 1, 1, {})
    at = at + count
  end
  return shares, words[at]
end

--- Puts the words without a dash into the level's values: a list under each operand's name.
---@return string? why   they are refused
function values.take_operands(level)
  local operands <const> = level.command.operands
  if not operands or not level.words then return nil end
  local shares <const>, too_much <const> = share_out(operands, level.words)
  if too_much then
    local names = {}
    for i, operand in ipairs(operands) do names[i] = values.metavar(operand) end
    return ("%s takes one %s, '%s' is too much"):format(level.command.name,
      table.concat(names, ", one "), too_much)
  end
  for i, operand in ipairs(operands) do
    local list = {}
    for at, word in ipairs(shares[i]) do
      local value, why = values.read_word(operand, word)
      if why then return ("%s %s"):format(values.metavar(operand), why) end
      list[at] = value
    end
    if #list > 0 then level.values[operand.name] = list end
  end
  return nil
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
  for _, operand in ipairs(level.command.operands or {}) do
    if operand.required and not level.values[operand.name] then
      missing[#missing + 1] = ("<%s>"):format(values.metavar(operand))
    end
  end
  return missing
end

return values
