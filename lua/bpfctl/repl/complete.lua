-- Completes fields and methods behind what is typed. Only tables, metatables' tables and the
-- methods of bpf's handles are looked at: no code of the user's runs.

local core = require "bpf.core"

local keywords <const> = {
  "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
  "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
}
local longest_chain <const> = 16

-- The tables that indexing a value looks at, one after the other.
local function tables_of(value)
  local found = {}
  while value ~= nil and #found < longest_chain do
    if type(value) == "table" then found[#found + 1] = value end
    local meta <const> = debug.getmetatable(value)
    local index <const> = type(meta) == "table" and rawget(meta, "__index") or nil
    if type(value) == "userdata" and type(index) == "function" then
      local _, methods = debug.getupvalue(index, 1)
      local facts <const> = debug.getuservalue(value, 1)
      for _, each in ipairs { methods or false, facts or false } do
        if type(each) == "table" then found[#found + 1] = each end
      end
    end
    value = type(index) == "table" and index or nil
  end
  return found
end

-- Modules that bpf loads when they are first named.
local function late_names(value)
  local meta <const> = type(value) == "table" and debug.getmetatable(value)
  return type(meta) == "table" and rawget(meta, "__names") or {}
end

local function get(value, key)
  for _, each in ipairs(tables_of(value)) do
    local found <const> = rawget(each, key)
    if found ~= nil then return found end
  end
  for _, name in ipairs(late_names(value)) do
    if name == key then
      local loaded, module = pcall(function() return value[key] end)
      return loaded and module or nil
    end
  end
  return nil
end

local function is_callable(value)
  local meta <const> = debug.getmetatable(value)
  return type(value) == "function" or type(meta) == "table" and rawget(meta, "__call") ~= nil
end

-- Names below a value that begin so, sorted.
local function names_below(value, beginning, only_methods)
  local seen, names = {}, {}
  local function add(name, inner)
    local fits <const> = type(name) == "string" and name:sub(1, #beginning) == beginning
      and name:find "^[%a_][%w_]*$" and not (name:find "^__" and beginning == "")
    if fits and not seen[name] and (not only_methods or is_callable(inner)) then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  for _, each in ipairs(tables_of(value)) do
    for name, inner in next, each do add(name, inner) end
  end
  if not only_methods then
    for _, name in ipairs(late_names(value)) do add(name, true) end
  end
  if value == _G then
    for _, keyword in ipairs(keywords) do add(keyword, true) end
  end
  table.sort(names)
  return names
end

--- All that could stand for the last word of a text.
---@param before string
---@return string[] names
---@return string beginning   the part of them that is typed already
local function candidates(before)
  local at <const>, path <const> = before:match "()([%a_][%w_.:]*)$"
  if not path or before:sub(1, at - 1):find "[.:%d]$" then return {}, "" end
  local value, separator, rest = _G, ".", path
  while true do
    local name, next_separator, behind = rest:match "^([%w_]*)([.:])(.*)$"
    if not name then break end
    value, separator, rest = get(value, name), next_separator, behind
    if value == nil then return {}, rest end
  end
  return names_below(value, rest, separator == ":"), rest
end

local function common_beginning(names)
  local common = names[1]
  for _, name in ipairs(names) do
    while name:sub(1, #common) ~= common do common = common:sub(1, -2) end
  end
  return common
end

local function in_columns(names, width)
  local cell = 0
  for _, name in ipairs(names) do cell = math.max(cell, #name + 2) end
  local columns <const> = math.max(1, width // cell)
  local rows <const> = (#names + columns - 1) // columns
  local lines = {}
  for row = 1, rows do
    local parts = {}
    for at = row, #names, rows do
      parts[#parts + 1] = names[at] .. (" "):rep(cell - #names[at])
    end
    lines[row] = table.concat(parts):gsub(" +$", "")
  end
  return table.concat(lines, "\n")
end

--- For the line editor: what to put in at the cursor, and what to list below the line.
---@param before string
---@return string? insertion
---@return string? listing
return function(before)
  if not before:find "%S" then return "  " end
  local names <const>, beginning <const> = candidates(before)
  if #names == 0 then return nil end
  local insertion <const> = common_beginning(names):sub(#beginning + 1)
  if insertion ~= "" or #names == 1 then return insertion end
  return nil, in_columns(names, core.terminal.width(1) or 80)
end
