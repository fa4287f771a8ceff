-- BTF: the types of an object, a program or a map, as the compiler told them.

local core = require "bpf.core"
local error_object = require "bpf.error"
local nearest = require "bpf.nearest"

local btf = {}

---@class bpf.btf
---@field type fun(self, id: integer): table?, bpf.error? typedefs and qualifiers are looked through
---@field find fun(self, name: string): integer? the id of the first type with this name
---@field close fun(self)
local methods = core.btf.methods

---The kernel's, by the `btf_id` of a program or map; wants CAP_SYS_ADMIN.
---@param id integer
---@return bpf.btf?
---@return bpf.error? err
function btf.open_id(id)
  local descriptor <close>, err = core.btf.descriptor(id)
  if not descriptor then return nil, err end
  return core.btf.open_fd(descriptor)
end

---A descriptor of the kernel's, to be passed to who may not open it: whoever has it may read it.
---@param id integer
---@return table? descriptor
---@return bpf.error? err
function btf.descriptor(id) return core.btf.descriptor(id) end

---@param descriptor table|integer left open
---@return bpf.btf?
---@return bpf.error? err
function btf.open_fd(descriptor) return core.btf.open_fd(descriptor) end

---From bytes, such as an object's `btf_bytes()`, or /sys/kernel/btf/vmlinux.
---@param bytes string
---@return bpf.btf?
---@return bpf.error? err
function btf.open(bytes) return core.btf.open(bytes) end

local is_composite <const> = { struct = true, union = true, enum = true }

local function names_of(types)
  local names, id = {}, 1
  local found = types:type(id)
  while found do
    if is_composite[found.kind] and found.name ~= "" then names[#names + 1] = found.name end
    id = id + 1
    found = types:type(id)
  end
  return names
end

---The id of a type by its name, "event" or "struct event".
---@param name string
---@return integer?
---@return bpf.error? err
function methods:named(name)
  local plain <const> = name:gsub("^%s*%l+%s+", ""):gsub("%s+$", "")
  local id <const> = self:find(plain)
  if id then return id end
  local names <const> = names_of(self)
  return nil, error_object.new {
    code = "ENOENT", message = ("there is no type %s in the BTF"):format(plain),
    advice = #names > 0 and ("did you mean %s?"):format(nearest(plain, names)) or nil,
  }
end

return btf
