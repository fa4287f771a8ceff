-- Maps: keys and values as byte strings, or as Lua values where there is BTF.

local btf = require "bpf.btf"
local core = require "bpf.core"
local error_object = require "bpf.error"

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
---@field cpu_count fun(self): integer values of a key: 1, or the possible CPUs
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
---@param mode "r"|"rw"|nil what the descriptor is good for; "rw" when left out
---@return bpf.map?
---@return bpf.error? err
function map.open_id(id, mode) return core.map.open_id(id, mode) end

---@param path string
---@param mode "r"|"rw"|nil what the descriptor is good for; "rw" when left out
---@return bpf.map?
---@return bpf.error? err
function map.open_pin(path, mode) return core.map.open_pin(path, mode) end

local given_types <const> = setmetatable({}, { __mode = "k" }) -- of maps that came with their BTF

---A map from a descriptor, as bpfd passes them, which the map then owns.
---@param descriptor table
---@param types? table the descriptor of its BTF; left open
---@return bpf.map?
---@return bpf.error? err
function map.adopt(descriptor, types)
  local opened <const> = core.map.adopt(descriptor)
  if types then
    local err
    given_types[opened], err = btf.open_fd(types)
    if err then
      opened:close()
      return nil, err
    end
  end
  return opened
end

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

-- Of a map without BTF of its own, as those of records are: a program's that uses it.
local function program_btf(id)
  local program = require "bpf.program"
  for program_id in program.each() do
    local opened <close> = program.open_id(program_id)
    local info <const> = opened and opened:info()
    for _, used in ipairs(info and info.btf_id and info.map_ids or {}) do
      if used == id then return info.btf_id end
    end
  end
end

---Its types: its own, or those of a program that uses it. Wants CAP_SYS_ADMIN, unless the map came
---with them from bpfd.
---@return bpf.btf?
---@return bpf.error? err
function methods:btf()
  if given_types[self] then return given_types[self] end
  local info, err = self:info()
  if not info then return nil, err end
  local ok, id = true, info.btf_id
  if not id then ok, id = pcall(program_btf, info.id) end
  if not ok then return nil, id end
  if id then return btf.open_id(id) end
  return nil, error_object.new {
    code = "ENOENT", message = ("there is no BTF for map %s"):format(info.name),
  }
end

---The same map with Lua values for keys and values, by its BTF; see bpf.layout.
---@param options? { btf: bpf.btf?, key: string?, value: string? } as of bpf.typed_map
---@return bpf.typed_map?
---@return bpf.error? err
function methods:typed(options) return require("bpf.typed_map").new(self, options) end

---Reads what programs send through it; see bpf.ring.
---@param options? { pages: integer? }
---@return bpf.ring?
---@return bpf.error? err
function methods:ring(options) return require("bpf.ring").open(self, options) end

---@class bpf.map_source
---@field id integer?
---@field pin string?          the path of a pin
---@field name string?         as the kernel has it, of whichever map is called so
---@field program_id integer?  only among the maps of this program
---@field client bpf.client?   bpfd opens it, for who may not: by id, or program_id and name
---@field mode "r"|"rw"|nil    "rw" when left out
---@field btf bpf.btf?
---@field key string?          a format string, or "struct NAME"
---@field value string?

---Opens a map of the system with its types.
---@param source bpf.map_source
---@return bpf.typed_map?
---@return bpf.error? err
function map.open(source) return require("bpf.map_source").open(source) end

return map
