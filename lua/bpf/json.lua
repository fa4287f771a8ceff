-- JSON that keeps integers exact and tells arrays from objects: dkjson with the rules of the wire.

local dkjson = require "dkjson"
local error_object = require "bpf.error"
local number = require "bpf.number"

local json = {}

--- What stands for JSON's null in a table. Decoding leaves nulls out unless asked to keep them.
json.null = dkjson.null

-- The order in which the keys of every known object are written; others follow.
local order <const> = {
  "jsonrpc", "id", "method", "params", "result", "error",
  "name", "type", "managed", "loaded_at", "metadata", "attach",
  "tracepoint", "fn_name", "offset", "target", "target_fd", "iface", "ifindex", "retprobe",
  "netns", "netns_fd", "pid", "container_pid", "direction", "priority", "position",
  "proceed_on", "engine", "xdp_mode",
  "label", "declared_by", "persist", "path", "image_url", "pull_policy", "digest", "signed_by",
  "global", "map_pin_path", "map_owner_id", "map_used_by", "amended", "kernel",
  "tag", "gpl_compatible", "map_ids", "btf_id", "bytes_xlated", "jited", "bytes_jited",
  "bytes_memlock", "verified_insns",
  "segments", "members", "owner",
  "changes", "action", "why", "map_owner",
  "version", "started_at", "uptime", "number", "file", "state", "waiting_for", "problem",
  "programs",
  "code", "message", "doing", "advice", "log", "hook", "data",
}

local rank = {}
for i, key in ipairs(order) do rank[key] = i end

local object_meta = { __jsontype = "object" }
local array_meta = { __jsontype = "array" }

--- Marks a table as an object, so that it is written as {} when empty.
---@param value table
---@return table
function json.object(value) return setmetatable(value, object_meta) end

--- Whether a value is written as an object.
---@param value any
---@return boolean
function json.is_object(value)
  local meta = getmetatable(value)
  return type(value) == "table" and (meta and meta.__jsontype == "object"
    or not (meta and meta.__jsontype) and next(value) ~= nil and #value == 0)
end

--- Whether a value is written as an array.
---@param value any
---@return boolean
function json.is_array(value)
  local meta = getmetatable(value)
  if type(value) ~= "table" or value == json.null then return false end
  if meta and meta.__jsontype then return meta.__jsontype == "array" end
  return #value > 0 or next(value) == nil
end

local unsigned_meta = { __name = "bpf.unsigned" }

function unsigned_meta:__tostring() return number.unsigned(self[1]) end

function unsigned_meta:__tojson() return tostring(self) end

function unsigned_meta.__eq(left, right) return left[1] == right[1] end

--- The 64 bits of an integer read as unsigned: itself below 2^63, above a value that prints so.
---@param bits integer
---@return integer|bpf.unsigned
function json.unsigned(bits)
  if bits >= 0 then return bits end
  return setmetatable({ bits }, unsigned_meta)
end

local raw_meta = { __name = "bpf.json.raw" }

function raw_meta:__tojson() return self[1] end

--- A value that has its JSON form already.
---@param text string
---@return table
function json.raw(text) return setmetatable({ text }, raw_meta) end

--- A text in quotes.
---@param text string
---@return string
function json.quote(text) return dkjson.quotestring(text) end

-- Integers from 2^63 on would be read as floats. They travel through the parser as marked strings.
local mark <const> = "\0unsigned:"

local function mark_big(token)
  if not token:find("^%d+$") or math.type(tonumber(token)) ~= "float" then return nil end
  return number.parse(token) and '"\\u0000unsigned:' .. token .. '"'
end

local function mark_big_integers(text)
  local parts, at = {}, 1
  while true do
    local quote = text:find('"', at, true) or #text + 1
    parts[#parts + 1] = text:sub(at, quote - 1):gsub("[%w%.%+%-]+", mark_big)
    local close = quote + 1
    while true do
      close = text:find('["\\]', close)
      if not close or text:byte(close) == 34 then break end
      close = close + 2
    end
    parts[#parts + 1] = text:sub(quote, close or #text)
    if not close then return table.concat(parts) end
    at = close + 1
  end
end

local function restore_big_integers(value)
  if type(value) == "string" and value:sub(1, #mark) == mark then
    return json.unsigned(number.parse(value:sub(#mark + 1)) or 0)
  end
  if type(value) == "table" and value ~= json.null then
    for key, inner in pairs(value) do value[key] = restore_big_integers(inner) end
  end
  return value
end

local function refusal(message)
  return error_object.new { code = "EBADMSG", message = "malformed JSON: " .. message }
end

-- lpeg's grammar takes longer to build than a short answer to read. Without it dkjson is half as
-- fast, reads "[1 2]" and knows no bound of depth: enough for what bpfd has written.
local SHORT <const>, FEW <const> = 16384, 150
local strict

local function parser_for(text, own)
  if own and #text <= SHORT and select(2, text:gsub("[%[{]", "")) <= FEW then return dkjson end
  strict = strict or dkjson.use_lpeg()
  return strict
end

--- Reads one JSON text. Objects and arrays remember what they were.
---@param text string
---@param options { null: boolean?, own: boolean? }?  null: keep nulls as json.null instead of
---  leaving them out; own: bpfd has written it, so that commas need not be looked for
---@return any value, bpf.error? err   nil, err when it is malformed
function json.decode(text, options)
  local has_big <const> = text:find("%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d") ~= nil
  if has_big then text = mark_big_integers(text) end
  local null = options and options.null and json.null or nil
  local parsed, value, stop, message = pcall(parser_for(text, options and options.own).decode, text,
    1, null, object_meta, array_meta)
  if not parsed then return nil, refusal("nested too deeply") end
  if message then return nil, refusal(message) end
  if text:find("%S", stop) then return nil, refusal("something follows the value") end
  if has_big then value = restore_big_integers(value) end
  return value
end

local function by_rank(left, right)
  local a, b = rank[left], rank[right]
  if a and b then return a < b end
  if a or b then return a ~= nil end
  return tostring(left) < tostring(right)
end

--- Whether the keys below this one are the user's own words, which no vocabulary orders.
---@param key any
---@return boolean
function json.is_users(key) return key == "metadata" or key == "global" end

--- The keys of an object in the order of the vocabulary, further ones by name.
---@param value table
---@param of_user boolean?  all by name: see is_users
---@return any[]
function json.keys(value, of_user)
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, not of_user and by_rank or nil)
  return keys
end

-- Gives every object inside its keys in order.
local function sort_keys(value, of_user)
  if type(value) ~= "table" or value == json.null or getmetatable(value) == unsigned_meta
      or getmetatable(value) == raw_meta then
    return
  end
  for key, inner in pairs(value) do sort_keys(inner, json.is_users(key)) end
  if json.is_array(value) then return end
  setmetatable(value, { __jsontype = "object", __jsonorder = json.keys(value, of_user) })
end

--- Writes a value on one line. An empty table is [] unless it is a json.object. A value that has no
--- JSON form is misuse and raises.
---@param value any
---@param options { sorted: boolean? }?  sorted: also keys that no vocabulary orders
---@return string
function json.encode(value, options)
  if options and options.sorted then sort_keys(value) end
  return dkjson.encode(value, { keyorder = order })
end

return json
