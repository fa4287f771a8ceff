-- Values as a person reads them: tables sorted and laid out, handles by what they stand for.

local error_object = require "bpf.error"

local pretty = {}

local default_width <const> = 80
local default_items <const> = 1000

---@class bpf.pretty.options
---@field width integer?   columns that a table may take on one line; 80
---@field items integer?   entries of one table that are shown; 1000
---@field color boolean?   with the escape sequences of terminals

local colors <const> = {
  string = "\27[32m", number = "\27[36m", boolean = "\27[35m", ["nil"] = "\27[2m",
  handle = "\27[33m", error = "\27[31m",
}

local escapes <const> = {
  ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ['"'] = '\\"', ["\\"] = "\\\\",
}

local function escape_byte(byte) return escapes[byte] or ("\\x%02x"):format(byte:byte()) end

local function quoted(text)
  text = text:gsub('[%c"\\]', escape_byte)
  if not utf8.len(text) then text = text:gsub("[\128-\255]", escape_byte) end
  return '"' .. text:gsub("\194[\128-\159]", function(pair)
    return (pair:gsub(".", escape_byte))
  end) .. '"'
end

-- The name that a type of handles has in its metatable; only those of bpf's own are asked things.
local function type_name(value)
  local meta <const> = debug.getmetatable(value)
  local name <const> = type(meta) == "table" and rawget(meta, "__name")
  return type(name) == "string" and name or nil
end

local function named(what, name)
  return name and name ~= "" and ("%s %s"):format(what, quoted(name)) or what
end

local function from_info(value, draw)
  local asked, info = pcall(value.info, value)
  return asked and type(info) == "table" and draw(info) or nil
end

local handles <const> = {
  ["bpf.program"] = function(program)
    return from_info(program, function(info)
      return ("program %d %s %s"):format(info.id, quoted(program.name or info.name), info.type)
    end) or named("program", program.name) .. ", not loaded or closed"
  end,
  ["bpf.map"] = function(map)
    return from_info(map, function(info)
      return ("map %d %s %s"):format(info.id, quoted(map.name or info.name), info.type)
    end) or named("map", map.name) .. ", not created or closed"
  end,
  ["bpf.link"] = function(link)
    return from_info(link, function(info)
      return ("link %d %s, of program %d"):format(info.id, info.type, info.prog_id)
    end) or "link, closed"
  end,
  ["bpf.object"] = function(object) return named("object", object.name) end,
  ["bpf.client"] = function(client) return "client of " .. tostring(client.path) end,
  ["bpf.descriptor"] = function(descriptor)
    local open, number = pcall(descriptor.fd, descriptor)
    return open and ("descriptor %d"):format(number) or "descriptor, closed"
  end,
}

local function function_text(f)
  local info <const> = debug.getinfo(f, "S")
  if info.what == "C" then return "function (C)" end
  return ("function at %s:%d"):format(info.short_src, info.linedefined)
end

local function error_text(err)
  local text = ("error %s%s"):format(err.code and err.code .. ": " or "", tostring(err))
  if err.advice then text = text .. "; " .. err.advice end
  return text
end

local function tostring_of(value)
  local done, text = pcall(tostring, value)
  return done and text or ("%s whose __tostring fails"):format(type(value))
end

-- What is one word, whatever is inside: text and colour. nil for tables that are shown in full.
local function word_of(value)
  local kind <const> = type(value)
  if kind == "string" then return quoted(value), "string" end
  if kind == "function" then return function_text(value), "handle" end
  if kind ~= "table" and kind ~= "userdata" then return tostring(value), kind end
  if error_object.is(value) then return error_text(value), "error" end
  local draw <const> = handles[type_name(value)]
  if draw then
    local drawn, text = pcall(draw, value)
    return drawn and text or tostring_of(value), "handle"
  end
  local meta <const> = debug.getmetatable(value)
  if kind == "userdata" or type(meta) == "table" and rawget(meta, "__tostring") then
    return tostring_of(value), kind == "userdata" and "handle" or "number"
  end
  return nil
end

local order <const> = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local left <const>, right <const> = order[type(a)] or 4, order[type(b)] or 4
  if left ~= right then return left < right end
  if left <= 2 then return a < b end
  return tostring_of(a) < tostring_of(b)
end

-- Keys without those of the sequence, sorted.
local function other_keys(value, length)
  local keys = {}
  for key in next, value do
    local in_sequence <const> = math.type(key) == "integer" and key >= 1 and key <= length
    if not in_sequence then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  return keys
end

local drawing = {}
drawing.__index = drawing

function drawing:paint(text, kind)
  if not self.color or not colors[kind] then return text end
  return colors[kind] .. text .. "\27[0m"
end

local function key_text(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" then return key end
  local word <const> = word_of(key)
  return ("[%s]"):format(word or tostring_of(key))
end

function drawing:items(value, path)
  local items, length = {}, rawlen(value)
  local hidden = 0
  local function add(label, inner, inner_path)
    if #items >= self.most then
      hidden = hidden + 1
      return
    end
    local lines, width = self:lines(inner, inner_path)
    lines[1] = label .. lines[1]
    items[#items + 1] = { lines = lines, width = width and width + #label }
  end
  for i = 1, length do add("", rawget(value, i), ("%s[%d]"):format(path, i)) end
  for _, key in ipairs(other_keys(value, length)) do
    local label <const> = key_text(key)
    add(label .. " = ", rawget(value, key), path .. (label:find "^%[" and "" or ".") .. label)
  end
  if hidden > 0 then
    local text <const> = ("... %d more"):format(hidden)
    items[#items + 1] = { lines = { text }, width = #text }
  end
  return items
end

-- On one line if it fits, and nothing inside needs more.
local function join(items, prefix, most)
  local width, parts = #prefix + 4, {}
  for i, item in ipairs(items) do
    width = item.width and width and width + item.width + 2 or nil
    parts[i] = item.lines[1]
  end
  if width and width <= most then
    return { ("%s{ %s }"):format(prefix, table.concat(parts, ", ")) }, width
  end
  local lines = { prefix .. "{" }
  for _, item in ipairs(items) do
    for i, line in ipairs(item.lines) do
      lines[#lines + 1] = "  " .. line .. (i == #item.lines and "," or "")
    end
  end
  lines[#lines + 1] = "}"
  return lines, nil
end

-- The lines of a value, and its width where it is one line.
function drawing:lines(value, path)
  local word, kind = word_of(value)
  if word then return { self:paint(word, kind) }, utf8.len(word) or #word end
  if self.open[value] then
    local text <const> = ("<cycle: %s>"):format(self.open[value])
    return { text }, #text
  end
  local name <const> = type_name(value)
  local prefix <const> = name and name .. " " or ""
  if next(value) == nil then return { prefix .. "{}" }, #prefix + 2 end
  if self.depth >= 100 then return { "{...}" }, 5 end
  self.open[value], self.depth = path == "" and "the whole" or path, self.depth + 1
  local items <const> = self:items(value, path)
  self.open[value], self.depth = nil, self.depth - 1
  return join(items, prefix, self.width - 2 * self.depth)
end

--- The text of a value, without a line end.
---@param value any
---@param options bpf.pretty.options?
---@return string
function pretty.text(value, options)
  options = options or {}
  local self <const> = setmetatable({
    width = options.width or default_width, most = options.items or default_items,
    color = options.color, open = {}, depth = 0,
  }, drawing)
  return table.concat((self:lines(value, "")), "\n")
end

return pretty
