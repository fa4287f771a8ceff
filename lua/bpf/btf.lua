-- BTF: the types of an object, a program or a map, as the compiler told them.

local core = require "bpf.core"

local btf = {}

---@class bpf.btf
---@field type fun(self, id: integer): table?, bpf.error? typedefs and qualifiers are looked through
---@field find fun(self, name: string): integer? the id of the first type with this name
---@field close fun(self)

---The kernel's, by the `btf_id` of a program or map; wants CAP_SYS_ADMIN.
---@param id integer
---@return bpf.btf?
---@return bpf.error? err
function btf.open_id(id) return core.btf.open_id(id) end

---From bytes, such as an object's `btf_bytes()`, or /sys/kernel/btf/vmlinux.
---@param bytes string
---@return bpf.btf?
---@return bpf.error? err
function btf.open(bytes) return core.btf.open(bytes) end

return btf
