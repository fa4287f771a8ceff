-- A declaration as the Lua file that `bpfctl apply` reads.

local attach_check = require "bpf.attach"
local sorted_keys = require "bpf.sorted_keys"

local keys <const> = {
  "path", "image_url", "pull_policy", "name", "global", "metadata", "map_owner", "persist",
}

local function is_name(text)
  return text:find "^[%a_][%w_]*$" and load("local " .. text) ~= nil -- no reserved word
end

local function quoted(text)
  return '"' .. text:gsub('[%c"\\\127]', function(character)
    if character == '"' or character == "\\" then return "\\" .. character end
    return ("\\x%02x"):format(character:byte())
  end) .. '"'
end

local function literal(value)
  return type(value) == "string" and quoted(value) or tostring(value)
end

local function list(values)
  local words = {}
  for i, value in ipairs(values) do words[i] = literal(value) end
  return "{ " .. table.concat(words, ", ") .. " }"
end

local function map(values)
  local words = {}
  for i, name in ipairs(sorted_keys(values)) do
    local key <const> = is_name(name) and name or "[" .. quoted(name) .. "]"
    words[i] = ("%s = %s"):format(key, literal(values[name]))
  end
  return "{ " .. table.concat(words, ", ") .. " }"
end

local function attach_of(attach)
  local words = { "type = " .. quoted(attach.type) }
  for _, description in ipairs(attach_check.types[attach.type]) do
    local value <const> = attach[description.name]
    if value ~= nil then
      local text <const> = type(value) == "table" and list(value) or literal(value)
      words[#words + 1] = ("%s = %s"):format(description.name, text)
    end
  end
  return "{ " .. table.concat(words, ", ") .. " }"
end

local function entry_of(entry)
  local lines = { ("program %s {\n"):format(quoted(entry.label)) }
  for _, key in ipairs(keys) do
    local value <const> = entry[key]
    if value ~= nil then
      local text <const> = type(value) == "table" and map(value) or literal(value)
      lines[#lines + 1] = ("  %s = %s,\n"):format(key, text)
    end
  end
  lines[#lines + 1] = ("  attach = %s,\n}\n"):format(attach_of(entry.attach))
  return table.concat(lines)
end

---@param exported { programs: table[] }
---@return string
return function(exported)
  local parts = {}
  for i, entry in ipairs(exported.programs) do parts[i] = entry_of(entry) end
  return table.concat(parts, "\n")
end
