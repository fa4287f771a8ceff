-- Data that no kind is known of, as commands of users and sites return it: a text as it is, records
-- as rows, one record as labels and values.

local columns_of = require "bpfctl.format.columns"
local json = require "bpf.json"
local printable = require "bpfctl.printable"

local function shown(value)
  if value == nil or value == json.null then return "" end
  if type(value) == "table" and getmetatable(value) and getmetatable(value).__tostring then
    return printable(tostring(value))
  end
  if type(value) == "table" then return printable(json.encode(value, { sorted = true })) end
  return printable(tostring(value))
end

-- Fields of all records, for a command that declares no columns.
local function all_fields(records)
  local union = {}
  for _, record in ipairs(records) do
    for key in pairs(record) do union[key] = true end
  end
  local columns = {}
  for i, key in ipairs(json.keys(union)) do columns[i] = { tostring(key), key } end
  return columns
end

local function rows_of(records, style)
  local columns <const> = style.columns or all_fields(records)
  local titles, rows = {}, {}
  for i, column in ipairs(columns) do titles[i] = column[1] end
  for i, record in ipairs(records) do
    rows[i] = {}
    for place, column in ipairs(columns) do rows[i][place] = shown(record[column[2]]) end
  end
  return columns_of(titles, rows)
end

local function labels_of(record)
  local lines, width = {}, 0
  local keys <const> = json.keys(record)
  for _, key in ipairs(keys) do width = math.max(width, utf8.len(tostring(key)) or 0) end
  for i, key in ipairs(keys) do
    local label <const> = tostring(key) .. ":"
    lines[i] = " " .. label .. (" "):rep(width - (utf8.len(label) or 0) + 3) .. shown(record[key])
  end
  return table.concat(lines, "\n") .. "\n"
end

local function are_records(list)
  for _, each in ipairs(list) do
    if type(each) ~= "table" or json.is_array(each) and next(each) ~= nil then return false end
  end
  return true
end

---@type bpfctl.draw
return function(data, style)
  if type(data) ~= "table" or data == json.null then
    local text <const> = type(data) == "string" and printable(data, "\n\t") or shown(data)
    return (text == "" or text:sub(-1) == "\n") and text or text .. "\n"
  end
  if not json.is_array(data) then return labels_of(data) end
  if are_records(data) then return rows_of(data, style) end
  local lines = {}
  for i, item in ipairs(data) do lines[i] = shown(item) .. "\n" end
  return table.concat(lines)
end
