-- One value of a request or of a command line against its description.

local nearest = require "bpf.nearest"

---@class bpf.field
---@field name string      as in JSON; the long option has `-` for `_`
---@field kind "string"|"integer"|"flag"|"choice"|"choices"|"descriptor"
---@field required boolean?
---@field default any      nil: stays absent
---@field minimum integer? of integers
---@field maximum integer?
---@field values string[]? of choices
---@field check (fun(value: any): string?)?   what is wrong with a value of the right kind

local MOST_DESCRIPTORS <const> = 1040 -- of one request: staged ones, and those of its line

local field = {}

local read = {}

function read.string(_, value)
  if type(value) ~= "string" or value == "" or value:find("\0", 1, true) then
    return nil, "must be a word"
  end
  return value
end

local function whole_number(value)
  return type(value) == "number" and math.tointeger(value) or nil
end

function read.integer(description, value)
  if type(value) ~= "number" then return nil, "must be a whole number" end
  local number <const> = whole_number(value)
  local low <const>, high <const> = description.minimum, description.maximum
  if not number and value == math.floor(value) or number and (number < low or number > high) then
    return nil, ("must be from %d to %d"):format(low, high)
  end
  if not number then return nil, "must be a whole number" end
  return number
end

function read.descriptor(_, value)
  local number <const> = whole_number(value)
  if not number or number < 0 or number >= MOST_DESCRIPTORS then
    return nil, "must be the place of a descriptor that came with the request"
  end
  return number
end

function read.flag(_, value)
  if type(value) ~= "boolean" then return nil, "must be true or false" end
  return value
end

--- Whether a list has a value.
---@param value any
---@param values any[]
---@return boolean
function field.is_one_of(value, values)
  for _, known in ipairs(values) do
    if known == value then return true end
  end
  return false
end

--- The complaint about a value that a list does not have; reads well behind a name.
---@param value any
---@param values string[]
---@return string
function field.unknown(value, values)
  return ("has no value '%s'; did you mean %s?"):format(tostring(value),
    nearest(tostring(value), values))
end

function read.choice(description, value)
  if field.is_one_of(value, description.values) then return value end
  return nil, field.unknown(value, description.values)
end

-- A list without holes: what stands behind one would be overlooked.
local function is_sequence(value)
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  for place = 1, count do
    if value[place] == nil then return false end
  end
  return true
end

-- In the order of the known values, each once.
function read.choices(description, value)
  if type(value) ~= "table" or value[1] == nil or not is_sequence(value) then
    return nil, "must name at least one of " .. table.concat(description.values, ", ")
  end
  local chosen, ordered = {}, {}
  for _, name in ipairs(value) do
    if not field.is_one_of(name, description.values) then
      return nil, field.unknown(name, description.values)
    end
    chosen[name] = true
  end
  for _, name in ipairs(description.values) do
    if chosen[name] then ordered[#ordered + 1] = name end
  end
  return ordered
end

---@param description bpf.field
---@param value any
---@return any value   nil, why when it is refused; why reads well behind the field's name
---@return string? why
function field.read(description, value)
  local good, why = read[description.kind](description, value)
  if why then return nil, why end
  why = description.check and description.check(good)
  if why then return nil, why end
  return good
end

--- Whether what a table has of these fields is of their kinds, as math.type and type name them.
---@param value table
---@param kinds table<string, string>
---@param are_needed boolean?  none may lack
---@return boolean
function field.are_of_kind(value, kinds, are_needed)
  for name, kind in pairs(kinds) do
    local found <const> = value[name]
    local is_good <const> = found == nil and not are_needed
      or (math.type(found) or type(found)) == kind
    if not is_good then return false end
  end
  return true
end

--- A default that the caller may change.
---@param description bpf.field
---@return any
function field.default(description)
  local default <const> = description.default
  return type(default) == "table" and { table.unpack(default) } or default
end

return field
