-- Maps: keys and values as byte strings, or as Lua values where there is BTF.

local core = require "bpf.core"

local map = {}

---@class bpf.map
---@field name string? of an object's map; a data section goes by its name, as ".bss"
---@field type string?
---@field is_data_section boolean?
---@field fd fun(self): integer the descriptor, borrowed
---@field info fun(self): table?, bpf.error?
---@field lookup fun(self, key: string): string|string[]|nil, bpf.error? per CPU: a table
---@field update fun(self, key: string, value: string|string[], flag: string?): true?, bpf.error?
---flag: "any", "new" or "existing"
---@field delete fun(self, key: string): boolean?, bpf.error? false where there was none
---@field pairs fun(self): function, userdata, nil, userdata in batches where the kernel can
---@field freeze fun(self): true?, bpf.error? user space writes it no more
---@field pin fun(self, path: string): true?, bpf.error?
---@field blob fun(self): string?, bpf.error? the bytes that map.blob put there
---@field close fun(self)
local methods = core.map.methods

local known_options <const> = {
  type = true, name = true, key_size = true, value_size = true, max_entries = true, flags = true,
}

---@class bpf.map_options
---@field type string|integer
---@field name string?
---@field key_size integer?
---@field value_size integer?
---@field max_entries integer?
---@field flags integer?

---@param options bpf.map_options
---@return bpf.map?
---@return bpf.error? err
function map.create(options)
  for key in pairs(options) do
    if not known_options[key] then error("map.create has no option " .. tostring(key), 2) end
  end
  return core.map.create(options.type, options.name or "", options.key_size or 0,
    options.value_size or 0, options.max_entries or 0, options.flags or 0)
end

---@param id integer
---@return bpf.map?
---@return bpf.error? err
function map.open_id(id) return core.map.open_id(id) end

---@param path string
---@param mode "r"|"rw"|nil what the descriptor is good for; "rw" when left out
---@return bpf.map?
---@return bpf.error? err
function map.open_pin(path, mode) return core.map.open_pin(path, mode) end

---Ids of all maps on the system, ascending. Raises an error object where the kernel does not let
---us look.
---@return fun(): integer?
function map.each()
  local last = 0
  return function()
    local id, err = core.map.next_id(last)
    if err then error(err) end
    last = id
    return id
  end
end

---A frozen array of one entry that holds these bytes and their length: a file that dies at reboot.
---@param bytes string
---@param name string
---@return bpf.map?
---@return bpf.error? err
function map.blob(bytes, name) return core.map.blob(bytes, name) end

---The same map with Lua values for keys and values, by its BTF; see bpf.layout.
---@param options? { btf: bpf.btf? } else the map's own, which wants CAP_SYS_ADMIN
---@return bpf.typed_map?
---@return bpf.error? err
function methods:typed(options)
  return require("bpf.typed_map").new(self, options and options.btf)
end

return map
