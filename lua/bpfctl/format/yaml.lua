-- YAML for every kind of data, in the vocabulary's order; readers of YAML 1.1 and 1.2 get the same.

local json = require "bpf.json"
local valid = require "bpfctl.format.valid"

local reserved <const> = {
  ["null"] = true, ["true"] = true, ["false"] = true, yes = true, no = true, on = true,
  off = true, y = true, n = true,
}

local escapes <const> = { ["\n"] = "\\n", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

-- Also what YAML takes for the end of a line, or does not take at all.
local function escaped_character(character)
  local code <const> = utf8.codepoint(character)
  local unprintable <const> = code < 32 or code >= 127 and code < 160 or code == 0x2028
    or code == 0x2029 or code == 0xFEFF or code >= 0xD800 and code < 0xE000 or code == 0xFFFE
    or code == 0xFFFF
  if escapes[character] then return escapes[character] end
  if not unprintable then return nil end
  return (code < 256 and "\\x%02x" or "\\u%04x"):format(code)
end

-- Plain only where no reader could take it for anything but this text.
local function quoted(text)
  if text:find "^[%a/_][%w/_.-]*$" and not reserved[text:lower()] then return text end
  return '"' .. valid(text):gsub(utf8.charpattern, escaped_character) .. '"'
end

local function number(value)
  if math.type(value) == "integer" then return tostring(value) end
  if value ~= value then return ".nan" end
  if value == math.huge then return ".inf" end
  if value == -math.huge then return "-.inf" end
  local text = ("%.17g"):format(value)
  if tonumber(("%.15g"):format(value)) == value then text = ("%.15g"):format(value) end
  if not text:find "[.]" then text = text:gsub("^-?%d+", "%0.0") end
  return text
end

local function scalar(value)
  if value == nil or value == json.null then return "null" end
  if type(value) == "number" then return number(value) end
  if type(value) == "boolean" then return tostring(value) end
  if type(value) == "string" then return quoted(value) end
  return json.encode(value) -- unsigned and ready-made values; these are YAML as well
end

local function is_collection(value)
  local meta <const> = type(value) == "table" and getmetatable(value)
  return type(value) == "table" and value ~= json.null and not (meta and meta.__tojson)
end

local function empty(value)
  if is_collection(value) and next(value) == nil then
    return json.is_object(value) and "{}" or "[]"
  end
  return nil
end

local function is_list(value)
  return is_collection(value) and #value > 0 and json.is_array(value)
end

local function is_map(value)
  return is_collection(value) and not json.is_array(value) and next(value) ~= nil
end

local write

local function write_map(value, indent, lines, of_user)
  for _, key in ipairs(json.keys(value, of_user)) do
    write(value[key], indent, quoted(tostring(key)) .. ":", lines, json.is_users(key))
  end
end

-- A value behind what begins its line: `key:` or `-`.
function write(value, indent, start, lines, of_user)
  if is_list(value) then
    if start then lines[#lines + 1] = indent .. start end
    local inner <const> = start == "-" and indent .. "  " or indent
    for _, item in ipairs(value) do write(item, inner, "-", lines) end
  elseif is_map(value) then
    local first <const> = #lines + 1
    if start and start ~= "-" then lines[first] = indent .. start end
    write_map(value, start and indent .. "  " or indent, lines, of_user)
    if start == "-" then
      lines[first] = indent .. "- " .. lines[first]:sub(#indent + 3)
    end
  else
    local text <const> = empty(value) or scalar(value)
    lines[#lines + 1] = indent .. (start and start .. " " or "") .. text
  end
end

local function draw(data)
  local lines = {}
  write(data, "", nil, lines)
  return table.concat(lines, "\n") .. "\n"
end

return { any = draw, nulls = true }
