-- Typed maps: a map whose keys and values are Lua values, by its BTF (bpf.layout says which).

local btf = require "bpf.btf"
local error_object = require "bpf.error"
local layout = require "bpf.layout"

---@class bpf.typed_map
---@field map bpf.map the same map, in bytes
---@field key bpf.layout
---@field value bpf.layout
local typed_map = {}
typed_map.__index = typed_map

-- Arrays are counted, whether or not their key has a type.
local is_counted <const> = { array = true, percpu_array = true }

local function layouts(map, types)
  local info, err = map:info()
  if not info then return nil, err end
  if not info.value_type_id or info.value_type_id == 0 then
    return nil, error_object.new {
      code = "ENOENT", message = ("map %s has no types; its object was built without them")
        :format(info.name),
    }
  end
  if not types then
    types, err = btf.open_id(info.btf_id)
    if not types then return nil, err end
  end
  local key = info.key_type_id ~= 0 and layout.of(types, info.key_type_id)
    or layout.unsigned(is_counted[info.type] and info.key_size or 8)
  return { key = key, value = layout.of(types, info.value_type_id) }
end

---@param map bpf.map
---@param types? bpf.btf else the map's own
---@return bpf.typed_map?
---@return bpf.error? err
function typed_map.new(map, types)
  local self, err = layouts(map, types)
  if not self then return nil, err end
  self.map = map
  return setmetatable(self, typed_map)
end

-- Per CPU: a table with the value of each.
local function read(self, value)
  if type(value) == "string" then return self.value.read(value, 0) end
  local values = {}
  for cpu, bytes in ipairs(value) do values[cpu] = self.value.read(bytes, 0) end
  return values
end

---@param key any
---@return any value nil where there is none
---@return bpf.error? err
function typed_map:lookup(key)
  local value, err = self.map:lookup(self.key.write(key))
  if value == nil then return nil, err end
  return read(self, value)
end

---@param key any
---@param value any of a per-CPU map: a table with the value of each CPU
---@param flag? "any"|"new"|"existing"
---@return true?
---@return bpf.error? err
function typed_map:update(key, value, flag)
  local bytes
  if self:is_per_cpu() then
    bytes = {}
    for cpu, each in ipairs(value) do bytes[cpu] = self.value.write(each) end
  else
    bytes = self.value.write(value)
  end
  return self.map:update(self.key.write(key), bytes, flag)
end

---@param key any
---@return boolean? existed
---@return bpf.error? err
function typed_map:delete(key) return self.map:delete(self.key.write(key)) end

---`for key, value in typed:pairs() do`
---@return fun(walk: any): any, any
function typed_map:pairs()
  local following, state, first, closing = self.map:pairs()
  local function next_entry(walk)
    local key, value = following(walk)
    if key == nil then return nil end
    return self.key.read(key, 0), read(self, value)
  end
  return next_entry, state, first, closing
end

---@return boolean
function typed_map:is_per_cpu()
  if self.per_cpu == nil then
    self.per_cpu = self.map:info().type:find("percpu", 1, true) ~= nil
  end
  return self.per_cpu
end

return typed_map
