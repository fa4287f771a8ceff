-- Writes docs/lua-api.md and docs/luacats/bpf.lua from the annotations in lua/bpf. With --check it
-- writes nothing, and fails where they are stale or where a public function lacks annotation.
-- Run from the top of the source tree: make docs, make lint.
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path

local page_path <const>, editor_path <const> = "docs/lua-api.md", "docs/luacats/bpf.lua"
local problems = {}

local function read_lines(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

local function exists(path)
  local file <close> = io.open(path)
  return file ~= nil
end

-- What follows a type in an annotation; types may hold blanks inside brackets and around |.
local function split_type(text)
  local depth, at = 0, 1
  while at <= #text do
    local character <const> = text:sub(at, at)
    if character:find "[({<%[]" then depth = depth + 1 end
    if character:find "[)}>%]]" then depth = depth - 1 end
    local goes_on <const> = text:find("^%s*|", at) or text:sub(1, at - 1):find "[|:,]%s*$"
    if character == " " and depth == 0 and not goes_on then break end
    at = at + 1
  end
  return text:sub(1, at - 1), (text:sub(at):gsub("^%s+", ""))
end

local takes = {}

function takes.param(block, rest)
  local name, behind = rest:match "^(%S+)%s+(.*)$"
  local kind, text = split_type(behind or "")
  block.params[#block.params + 1] = { name = name or rest, kind = kind, text = text }
  block.params[(name or rest):gsub("%?$", "")] = true
end

takes["return"] = function(block, rest)
  local kind, text = split_type(rest)
  block.returns[#block.returns + 1] = { kind = kind, text = text }
end

function takes.field(block, rest)
  local name, behind = rest:match "^(%[[^%]]+%]%S*)%s+(.*)$"
  if not name then name, behind = rest:match "^(%S+)%s+(.*)$" end
  local kind, text = split_type(behind or "")
  block.fields[#block.fields + 1] = { name = name or rest, kind = kind, text = text }
end

function takes.class(block, rest)
  block.class = rest:match "^[%w_.]+"
  block.base = rest:match "^[%w_.]+%s*:%s*(.+)$"
  block.texts[#block.texts + 1] = rest:match "^%S+%s*:?%s*%S*%s%s+(.*)$"
    or rest:match "^%S+%s+([^:%s].*)$"
end

-- A line of plain text belongs to the field above it, or to the whole.
local function take_text(block, line)
  local text <const> = line:gsub("^%s+", "")
  local field <const> = block.fields[#block.fields]
  if field then
    field.text = field.text .. " " .. text
  else
    block.texts[#block.texts + 1] = text
  end
end

-- The block of annotations that ends above a line.
local function block_above(lines, at)
  local block = { texts = {}, params = {}, returns = {}, fields = {} }
  local first = at
  while first > 1 and lines[first - 1]:find "^%-%-%-" do first = first - 1 end
  for i = first, at - 1 do
    local line <const> = lines[i]:sub(4)
    local tag, rest = line:match "^@(%a+)%s*(.*)$"
    if not tag then
      take_text(block, line)
    elseif takes[tag] then
      takes[tag](block, rest)
    end
  end
  return block, first < at
end

local function body_returns(lines, at)
  if lines[at]:find "%)%s+return%s+[^%s]" then return not lines[at]:find "%)%s+return%s+end" end
  if lines[at]:find "%send$" then return false end
  for i = at + 1, #lines do
    if lines[i]:find "^end" then return false end
    if lines[i]:find "^  return%s+%S" or lines[i]:find "^%s+if .* then return %S" then
      return not lines[i]:find "return end$"
    end
  end
  return false
end

local function complain(path, at, text, ...)
  problems[#problems + 1] = ("%s:%d: " .. text):format(path, at, ...)
end

local function check_function(path, at, entry, lines)
  local block <const> = entry.block
  if entry.name:find ":close$" and entry.arguments == "" then return end
  if not entry.has_block then
    complain(path, at, "%s has no annotation", entry.name)
    return
  end
  for name in entry.arguments:gmatch "[^,%s]+" do
    if not block.params[name] and name ~= "_" then
      complain(path, at, "%s: no @param %s", entry.name, name)
    end
  end
  if #block.returns == 0 and body_returns(lines, at) then
    complain(path, at, "%s: no @return", entry.name)
  end
end

local function head_text(lines)
  local texts = {}
  for i = 1, #lines do
    local text <const> = lines[i]:match "^%-%- (.*)$"
    if not text then break end
    texts[i] = text
  end
  return table.concat(texts, " ")
end

local function returned_name(lines)
  for i = #lines, 1, -1 do
    local name <const> = lines[i]:match "^return ([%a_][%w_]*)$"
    if name then return name end
  end
  return nil
end

-- A function that the line begins, by the full name that others call it by.
local function function_at(line, owners, module_name)
  local arguments <const> = line:match "^return function%((.-)%)"
  if arguments then return module_name, arguments end
  local owner, separator, name, rest =
    line:match "^function ([%a_][%w_]*)([.:])([%w_.]+)%((.-)%)"
  if owner and owners[owner] then return owners[owner] .. separator .. name, rest end
  return nil
end

-- Everything that a file shows to others. Owners are the local tables that stand for the module or
-- for a class.
local function parse(path, module_name)
  local lines <const> = read_lines(path)
  local module <const> = {
    name = module_name, text = head_text(lines), functions = {}, classes = {}, values = {},
  }
  local returned <const> = returned_name(lines)
  local owners = { [returned or ""] = module_name }
  for at, line in ipairs(lines) do
    local block, has_block = block_above(lines, at)
    if not line:find "^%-%-%-" and block.class then
      module.classes[#module.classes + 1] = block
      local name <const> = line:match "^local ([%a_][%w_]*)"
      if name and name ~= returned then owners[name] = block.class end
    end
    local name, arguments = function_at(line, owners, module_name)
    if name then
      local entry = { name = name, arguments = arguments, block = block, has_block = has_block }
      check_function(path, at, entry, lines)
      module.functions[#module.functions + 1] = entry
    end
    local value <const> = returned and line:match("^" .. returned .. "%.([%w_.]+) = ")
    if value and has_block and not line:find "= function" then
      module.values[#module.values + 1] = { name = module_name .. "." .. value, block = block }
    end
  end
  return module
end

local function described(item)
  local name <const> = item.name and ("`%s` "):format(item.name) or ""
  local text <const> = item.text ~= "" and ": " .. item.text or ""
  return ("- %s`%s`%s\n"):format(name, item.kind, text)
end

local function draw_function(entry)
  local block <const> = entry.block
  local parts = { ("### %s(%s)\n\n"):format(entry.name, entry.arguments) }
  local text <const> = table.concat(block.texts, " ")
  if text ~= "" then parts[#parts + 1] = text .. "\n\n" end
  for _, param in ipairs(block.params) do parts[#parts + 1] = described(param) end
  if #block.returns > 0 then
    local kinds = {}
    for i, result in ipairs(block.returns) do
      kinds[i] = ("`%s`%s"):format(result.kind, result.text ~= "" and " " .. result.text or "")
    end
    parts[#parts + 1] = "- returns " .. table.concat(kinds, ", ") .. "\n"
  end
  if #block.params + #block.returns > 0 then parts[#parts + 1] = "\n" end
  return table.concat(parts)
end

local function draw_class(block)
  local base <const> = block.base and (", a `%s`"):format(block.base) or ""
  local parts = { ("### class %s%s\n\n"):format(block.class, base) }
  local text <const> = table.concat(block.texts, " ")
  if text ~= "" then parts[#parts + 1] = text .. "\n\n" end
  for _, item in ipairs(block.fields) do parts[#parts + 1] = described(item) end
  if #block.fields > 0 then parts[#parts + 1] = "\n" end
  return table.concat(parts)
end

local function draw_module(module)
  local parts = { ("## %s\n\n%s\n\n"):format(module.name, module.text) }
  for _, value in ipairs(module.values) do
    local text <const> = table.concat(value.block.texts, " ")
    parts[#parts + 1] = ("### %s\n\n%s\n\n"):format(value.name, text)
  end
  for _, entry in ipairs(module.functions) do parts[#parts + 1] = draw_function(entry) end
  for _, block in ipairs(module.classes) do parts[#parts + 1] = draw_class(block) end
  return table.concat(parts)
end

-- The modules of `bpf`, and the files below lua/bpf that have classes of theirs.
local function public_files()
  local names <const> = getmetatable(require "bpf").__names
  local files, is_public = {}, {}
  for _, name in ipairs(names) do
    local path = ("lua/bpf/%s.lua"):format(name)
    if not exists(path) then path = ("lua/bpf/%s/init.lua"):format(name) end
    files[#files + 1] = { path = path, name = "bpf." .. name }
    is_public[path] = true
  end
  local listing <close> = assert(io.popen "grep -rl '^---@class bpf' lua/bpf")
  for path in listing:lines() do
    if not is_public[path] then
      local name = path:match "^lua/(.*)%.lua$":gsub("/init$", ""):gsub("/", ".")
      files[#files + 1] = { path = path, name = name }
    end
  end
  table.sort(files, function(a, b) return a.name < b.name end)
  return files, names
end

local function page(files)
  local parts = { [[
# The Lua API

`require "bpf"` gives a table whose modules are loaded when they are first named. What can fail
returns nil and a bpf.error; misuse raises. This page is written by `make docs` from the annotations
in lua/bpf, which an editor that knows LuaCATS reads as well: add docs/luacats (installed as
PREFIX/share/bpfd/luacats) to its library.

]] }
  for _, file in ipairs(files) do parts[#parts + 1] = draw_module(parse(file.path, file.name)) end
  return (table.concat(parts):gsub("\n+$", "\n"))
end

local function editor_file(names)
  local parts = { [[
---@meta bpf
-- For editors: what `require "bpf"` gives, and the globals of scripts under bpfctl. Written by
-- `make docs`.

---@class bpf
bpf = {}

---@type bpf.client
client = nil

]] }
  for _, name in ipairs(names) do
    parts[#parts + 1] = ('bpf.%s = require "bpf.%s"\n'):format(name, name)
  end
  parts[#parts + 1] = "\nreturn bpf\n"
  return table.concat(parts)
end

local function content(path)
  local file <close> = io.open(path)
  return file and file:read "a"
end

local files <const>, names <const> = public_files()
local wanted <const> = { [page_path] = page(files), [editor_path] = editor_file(names) }
for path, text in pairs(wanted) do
  if arg[1] == "--check" then
    if content(path) ~= text then problems[#problems + 1] = path .. " is stale: make docs" end
  else
    local file <close> = assert(io.open(path, "w"))
    file:write(text)
  end
end
table.sort(problems)
for _, problem in ipairs(problems) do io.stderr:write(problem, "\n") end
os.exit(#problems == 0 and 0 or 1)
