-- Typed maps: keys and values are Lua values, by the map's BTF or by format strings; bpf.layout
-- says which.

local core = require "bpf.core"
local drawing = require "bpf.layout.drawing"
local error_object = require "bpf.error"
local layout = require "bpf.layout"
local map_types = require "bpf.map_types"

---@class bpf.typed_map
---@field map bpf.map the same map, in bytes
---@field info table of the map, as it was opened
---@field types bpf.btf? where its types were found
---@field key bpf.layout
---@field value bpf.layout
local typed_map = {}
typed_map.__index = typed_map
typed_map.__name = "bpf.typed_map"

local function refusal(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

-- A word as in C names a type of the BTF; everything else is a format.
local function described(text, size, types)
  local is_type <const> = text:find "^%s*struct%s" or text:find "^%s*union%s"
    or text:find "^%s*enum%s"
  if not is_type then return layout.format(text, size) end
  if not types then return refusal("ENOENT", ("there is no BTF that has %s"):format(text)) end
  local id, err = types:named(text)
  if not id then return nil, err end
  local found <const> = layout.of(types, id)
  if found.size == size then return found end
  return refusal("EINVAL", ("%s has %d bytes, and there are %d"):format(text, found.size, size))
end

local function no_types(info)
  return refusal("ENOENT", ("map %s has no types; its object was built without them")
    :format(info.name), "say how its keys and values lie by format strings, such as u32")
end

local function layout_of(info, types, part, text)
  local size <const>, id <const> = info[part .. "_size"], info[part .. "_type_id"]
  if text then
    local found, err = described(text, size, types)
    return found, err and err:because(("the %s of map %s"):format(part, info.name))
  end
  if types and id and id ~= 0 then return layout.of(types, id) end
  if part == "key" and map_types.counted[info.type] then return layout.unsigned(size) end
  local known <const> = map_types.formats[info.type]
  if part == "value" and known and known[size] then return layout.format(known[size], size) end
  if part == "key" and size == 0 then return layout.format("hex", 0) end
  return no_types(info)
end

local known_options <const> = { btf = true, key = true, value = true }

---@param map bpf.map
---@param options? { btf: bpf.btf?, key: string?, value: string? } the BTF, if not the map's own,
---which wants CAP_SYS_ADMIN; format strings or "struct NAME" instead of what it says
---@return bpf.typed_map?
---@return bpf.error? err
function typed_map.new(map, options)
  options = options or {}
  for key in pairs(options) do
    if not known_options[key] then error("a typed map has no option " .. tostring(key), 2) end
  end
  local info, err = map:info()
  if not info then return nil, err end
  local why <const> = map_types.without_entries[info.type]
  if why then
    return refusal("EOPNOTSUPP", ("map %s is a %s: %s"):format(info.name, info.type, why),
      map_types.of_records[info.type] and "bpfctl map watch and map:ring() read them" or nil)
  end
  local types = options.btf
  if not types and info.btf_id and not (options.key and options.value) then
    types, err = map:btf()
    if not types then return nil, err end
  end
  local self = { map = map, info = info, types = types }
  self.key, err = layout_of(info, types, "key", options.key)
  if not self.key then return nil, err end
  self.value, err = layout_of(info, types, "value", options.value)
  if not self.value then return nil, err end
  return setmetatable(self, typed_map)
end

---@return boolean
function typed_map:is_per_cpu() return map_types.is_per_cpu(self.info.type) end

---How many values a key of a per-CPU map has: one for each possible CPU.
---@return integer
function typed_map:cpu_count() return self.map:cpu_count() end

-- Per CPU: a table with the value of each.
local function read(self, value)
  if type(value) == "string" then return self.value.read(value, 0) end
  local values = {}
  for cpu, bytes in ipairs(value) do values[cpu] = self.value.read(bytes, 0) end
  return values
end

---@param key any
---@return any value nil where there is none; of a per-CPU map a list by CPU
---@return bpf.error? err
function typed_map:get(key)
  local value, err = self.map:lookup(self.key.write(key))
  if value == nil then return nil, err end
  return read(self, value)
end

-- What a refusal of the kernel's means for this map.
local function explained(self, err, key)
  local info <const> = self.info
  local counted <const> = map_types.counted[info.type]
  local message, advice
  if err.code == "E2BIG" and counted then
    message = ("map %s has no key %s: its keys are 0 to %d"):format(info.name, tostring(key),
      info.max_entries - 1)
  elseif err.code == "E2BIG" then
    message = ("map %s is full: it takes %d entries"):format(info.name, info.max_entries)
  elseif err.code == "EPERM" and (self.map:info() or info).frozen then
    message = ("map %s is frozen: nobody writes it any more"):format(info.name)
  elseif err.code == "EPERM" then
    message = ("map %s was opened for reading only, or you may not write it"):format(info.name)
  elseif err.code == "EINVAL" and counted then
    message = ("the entries of %s cannot be deleted: it is of type %s"):format(info.name, info.type)
    advice = "set them to 0"
  elseif err.code == "EEXIST" or err.code == "ENOENT" then
    message = ("map %s %s"):format(info.name,
      err.code == "EEXIST" and "has this key already" or "has no such key")
  else
    return err
  end
  return error_object.new { code = err.code, message = message, advice = advice }
end

-- Maps of programs and of maps take a descriptor where they give an id.
---@return table? object  to be held until the value is written
---@return bpf.error? err
local function open_object(self, id)
  local kind <const> = map_types.holds[self.info.type]
  if not kind then return nil end
  return core[kind].open_id(self.value.read(self.value.write(id), 0))
end

local function value_bytes(self, value, object)
  if object then return ("=I4"):pack(object:fd()) end
  if not self:is_per_cpu() then return self.value.write(value) end
  local bytes = {}
  for cpu, each in ipairs(value) do bytes[cpu] = self.value.write(each) end
  return bytes
end

---@param key any
---@param value any of a per-CPU map: a table with the value of each CPU
---@param flag? "any"|"new"|"existing"
---@return true?
---@return bpf.error? err
function typed_map:set(key, value, flag)
  local bytes <const> = self.key.write(key)
  local object <close>, failure = open_object(self, value)
  if failure then return nil, failure end
  local ok, err = self.map:update(bytes, value_bytes(self, value, object), flag)
  if ok then return true end
  return nil, explained(self, err, key)
end

---@param key any
---@return boolean? existed
---@return bpf.error? err
function typed_map:delete(key)
  local existed, err = self.map:delete(self.key.write(key))
  if existed == nil then return nil, explained(self, err, key) end
  return existed
end

-- How a per-CPU value is drawn: a list by CPU.
local function draw_cpus(draw, between)
  return function(values, offset)
    local parts = {}
    for cpu, bytes in ipairs(values) do parts[cpu] = draw(bytes, offset) end
    return "[" .. table.concat(parts, between) .. "]"
  end
end

---What makes texts of the bytes that map:pairs() gives.
---@param style "json"|"literal"
---@return fun(key: string, offset: integer): string key
---@return fun(value: string|string[], offset: integer): string value
function typed_map:drawings(style)
  local key <const> = layout.drawing(self.key, style)
  local value <const> = layout.drawing(self.value, style)
  if not self:is_per_cpu() then return key, value end
  return key, draw_cpus(value, style == "json" and "," or ", ")
end

---`for text in typed:json_entries() do`: all entries as JSON objects, many in each text, a
---comma before every one. For maps of many entries, whose Lua values nobody needs.
---@return fun(): string?
function typed_map:json_entries()
  local value <const> = self:is_per_cpu() and ',"values":' or ',"value":'
  return core.drawing.entries(self.map, drawing.compile(self.key, "json"),
    drawing.compile(self.value, "json"), ',{"key":', value, "}")
end

---`for key, value in typed:entries() do`, in batches where the kernel has them. Raises an error
---object where the kernel does not let us.
---@return fun(walk: any): any, any
function typed_map:entries()
  local following, state, first, closing = self.map:pairs()
  local function next_entry(walk)
    local key, value = following(walk)
    if key == nil then return nil end
    return self.key.read(key, 0), read(self, value)
  end
  return next_entry, state, first, closing
end

---Closes the map. Its BTF is the collector's, unless it was given.
function typed_map:close() self.map:close() end

typed_map.__close = typed_map.close

return typed_map
