-- Checks a table against a description and fills in defaults; every complaint names the place.
-- A check is a function(value, place) -> value as the daemon wants it, or nil, complaint.

local nearest = require "bpf.nearest"
local sorted_keys = require "bpf.sorted_keys"
local quantity = require "bpfd.quantity"

local schema = {}

local function wrong(place, wanted, value)
  return nil, ("%s must be %s, not %s"):format(place, wanted,
    type(value) == "string" and ("%q"):format(value) or tostring(value))
end

local function of_type(name, wanted)
  return function(value, place)
    if type(value) == name then return value end
    return wrong(place, wanted, value)
  end
end

schema.text = of_type("string", "a text")
schema.boolean = of_type("boolean", "true or false")

function schema.count(value, place)
  local number = math.tointeger(value)
  if type(value) == "number" and number and number > 0 then return number end
  return wrong(place, "a whole number above 0", value)
end

function schema.size(value, place)
  local bytes = quantity.size(value)
  if bytes then return bytes end
  return wrong(place, 'a size such as "64MiB"', value)
end

function schema.duration(value, place)
  local seconds = quantity.duration(value)
  if seconds then return seconds end
  return wrong(place, 'a duration such as "30s"', value)
end

function schema.absolute_path(value, place)
  if type(value) == "string" and value:sub(1, 1) == "/" then return value end
  return wrong(place, "an absolute path", value)
end

--- File modes are texts, because 0660 in Lua is six hundred and sixty.
function schema.mode(value, place)
  if type(value) == "string" and value:find "^0?[0-7][0-7][0-7]$" then return tonumber(value, 8) end
  return wrong(place, 'a mode in quotes such as "0660"', value)
end

function schema.one_of(words)
  return function(value, place)
    for _, word in ipairs(words) do
      if value == word then return value end
    end
    local _, complaint = wrong(place, "one of " .. table.concat(words, ", "), value)
    if type(value) ~= "string" or type(words[1]) ~= "string" then return nil, complaint end
    return nil, ("%s; did you mean %s?"):format(complaint, nearest(value, words))
  end
end

function schema.list_of(check)
  return function(value, place)
    if type(value) ~= "table" then return wrong(place, "a list", value) end
    local result, count = {}, 0
    for _ in pairs(value) do count = count + 1 end
    if count ~= #value then return nil, place .. " must be a list, without named entries" end
    for i, item in ipairs(value) do
      local checked, complaint = check(item, ("%s[%d]"):format(place, i))
      if checked == nil then return nil, complaint end
      result[i] = checked
    end
    return result
  end
end

function schema.map_of(check)
  return function(value, place)
    if type(value) ~= "table" then return wrong(place, "a table", value) end
    local result = {}
    for key, item in pairs(value) do
      if type(key) ~= "string" then
        return nil, ("%s must name its entries, as in [\"eth0\"] = { ... }"):format(place)
      end
      local checked, complaint = check(item, ('%s["%s"]'):format(place, key))
      if checked == nil then return nil, complaint end
      result[key] = checked
    end
    return result
  end
end

local function check_keys(value, fields, place)
  for key in pairs(value) do
    if not fields[key] then
      local where = place == "" and "the configuration" or place
      return nil, ("%s has no key %s; did you mean %s?"):format(where, tostring(key),
        nearest(tostring(key), sorted_keys(fields)))
    end
  end
  return true
end

--- A table with these keys and no others. fields: name -> { check, default = value as written,
--- required = boolean }.
function schema.record(fields)
  return function(value, place)
    if type(value) ~= "table" then return wrong(place, "a table", value) end
    local known, complaint = check_keys(value, fields, place)
    if not known then return nil, complaint end
    local result = {}
    for name, field in pairs(fields) do
      local given = value[name]
      if given == nil then given = field.default end
      local here = place == "" and name or place .. "." .. name
      if given ~= nil then
        result[name], complaint = field[1](given, here)
        if result[name] == nil then return nil, complaint end
      elseif field.required then
        return nil, here .. " is missing"
      end
    end
    return result
  end
end

return schema
