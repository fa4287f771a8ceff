-- What the map commands share: how a map is named and opened, and entries as data for formats.

local error_object = require "bpf.error"
local json = require "bpf.json"

local maps = {}

--- The words that name a map.
maps.operand = {
  name = "map", metavar = "MAP_ID | PROGRAM_ID NAME", required = true, most = 2, kind = "string",
  text = [[
Map id, as map list shows it, or a program id and the name of one
of the program's maps]],
}

--- The word that names an entry.
maps.key_operand = {
  name = "key_word", metavar = "KEY", kind = "string", required = true,
  text = "Key: a number, a name of the enum, a text, or {member: 1, other: 2}\nfor a struct",
}

local format_text <const> = [[
How the bytes of %s lie, where BTF does not tell.
Format: <NAME>:<TYPE> ..., or one <TYPE>: u8 to u128, i8 to i128,
be16 to be64, f32, f64, bool, ip4, ip6, mac, char[N], hex[N], pad[N],
<TYPE>[N]; or "struct <NAME>" of the BTF.
Example: %s]]

maps.key_format = {
  name = "key", kind = "string", metavar = "FORMAT",
  text = format_text:format("keys", '--key "address:ip4 port:be16 pad[2]"'),
}

maps.value_format = {
  name = "value", kind = "string", metavar = "FORMAT",
  text = format_text:format("values", '--value u64'),
}

local function id_of(word, what)
  local id <const> = word:find "^%d+$" and math.tointeger(tonumber(word))
  if id and id >= 1 and id <= 4294967295 then return id end
  return nil, error_object.new { code = "EINVAL",
    message = ("'%s' is no %s id"):format(word, what),
    advice = "bpfctl map list shows the ids of maps and of their programs" }
end

local function wanted_of(words, mode)
  local id, err = id_of(words[1], words[2] and "program" or "map")
  if not id then return nil, err end
  if words[2] then return { program_id = id, name = words[2], mode = mode } end
  return { id = id, mode = mode }
end

-- Whoever is root may open what bpfd does not have, and does not need bpfd.
local function open_bytes(session, wanted)
  local opened, err = session:open_map(wanted)
  if opened then return opened end
  if err.code ~= "ENOENT" and session.exit ~= require("bpfctl.exit").unavailable then
    return nil, err
  end
  local direct <const> = require("bpf.map_source").bytes(wanted)
  if not direct then return nil, err end
  session.exit = nil
  return direct
end

--- Opens the map that the words name.
---@param mode "r"|"rw"
---@return bpf.map?
---@return bpf.error?
function maps.open(session, words, mode)
  local wanted, err = wanted_of(words, mode)
  if not wanted then return nil, err end
  return open_bytes(session, wanted)
end

--- The types of a map: what BTF tells, and what the line says instead.
---@return bpf.typed_map?
---@return bpf.error?
function maps.type_of(opened, arguments)
  local typed, err = opened:typed { key = arguments.key, value = arguments.value }
  if typed then return typed end
  if err.message:find "has no types" then
    err = err:with_advice "say how they lie with --key and --value, as in --key u32 --value u64"
  end
  return nil, err
end

--- Opens it with its types.
---@return bpf.typed_map?
---@return bpf.error?
function maps.open_typed(session, arguments, mode)
  local opened, err = maps.open(session, arguments.map, mode)
  if not opened then return nil, err end
  return maps.type_of(opened, arguments)
end

--- A key or value as it was typed, in bytes.
---@param part "key"|"value"
---@return any value  of the layout, so that it can be written
---@return bpf.error?
function maps.read(typed, part, word)
  local value, err = require("bpf.literal").read(word)
  if err then return nil, err:because("reading the " .. part) end
  local ok, why = pcall(typed[part].write, value)
  if ok then return value end
  return nil, error_object.new { code = "EINVAL",
    message = ("the %s '%s' cannot be taken: %s"):format(part, word, why) }
end

-- The word for the value of an entry.
local function value_word(typed) return typed:is_per_cpu() and "values" or "value" end

--- Entries in JSON, one a text.
---@param typed bpf.typed_map
---@return fun(key: string, value: string|string[]): string
function maps.json_entry(typed)
  local key <const>, value <const> = typed:drawings "json"
  local middle <const> = (',"%s":'):format(value_word(typed))
  return function(key_bytes, value_bytes)
    return '{"key":' .. key(key_bytes, 0) .. middle .. value(value_bytes, 0) .. "}"
  end
end

--- What formats get that draw no entries themselves: the JSON as plain tables.
---@param text string
---@return any
function maps.plain(text) return (json.decode(text, { null = true })) end

return maps
