-- JSON that keeps integers exact and tells arrays from objects: json-c with the rules of the wire.

local codec = require("bpf.core").json
local error_object = require "bpf.error"
local number = require "bpf.number"

local json = {}

--- What stands for JSON's null in a table. Decoding leaves nulls out unless asked to keep them.
json.null = setmetatable({}, { __name = "bpf.json.null", __tojson = function() return "null" end })

--- The value, or json.null for nil.
---@param value any
---@return any
function json.or_null(value)
  if value == nil then return json.null end
  return value
end

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

function raw_meta:__tojson() return self.text end

--- A value that has its JSON form already.
---@param text string
---@return { text: string }
function json.raw(text) return setmetatable({ text = text }, raw_meta) end

--- A text in quotes. What is no text a terminal shows, such as control characters, is escaped.
---@param text string
---@return string
function json.quote(text) return codec.encode(text, rank) end

--- Reads one JSON text (RFC 8259). Objects and arrays remember what they were. Refused are integers
--- beyond 64 bits, which would not stay exact, and more than 128 levels.
---@param text string
---@param options { null: boolean? }?  null: keep nulls as json.null instead of leaving them out
---@return any value, bpf.error? err   nil, err when it is malformed
function json.decode(text, options)
  local value, why = codec.decode(text, options and options.null and json.null or nil, object_meta,
    array_meta, json.unsigned)
  if not why then return value end
  return nil, error_object.new { code = "EBADMSG", message = "malformed JSON: " .. why }
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

--- Writes a value on one line. An empty table is [] unless it is a json.object. A value that has no
--- JSON form is misuse and raises.
---@param value any
---@param options { sorted: boolean? }?  sorted: also keys that no vocabulary orders
---@return string
function json.encode(value, options)
  return codec.encode(value, rank, options and options.sorted or false)
end

--- The same with the end of a line, as messages are sent.
---@param value any
---@return string
function json.line(value) return codec.encode(value, rank, false, true) end

return json
