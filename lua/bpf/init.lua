-- bpf: eBPF objects, programs, maps, links, pins, interfaces and chains, from plain Lua.

-- Loaded when first named: a script that only talks to the daemon never maps libbpf.
local modules = {
  "btf",
  "chain",
  "client",
  "deadline",
  "error",
  "features",
  "image",
  "json",
  "layout",
  "link",
  "map",
  "network",
  "object",
  "pin",
  "policy",
  "pretty",
  "program",
  "registry",
  "ring",
  "sleep",
  "verdict",
}

local is_module = {}
for _, name in ipairs(modules) do is_module[name] = true end

return setmetatable({}, {
  __names = modules, -- for completion
  __index = function(self, name)
    if not is_module[name] then return nil end
    local module = require("bpf." .. name)
    rawset(self, name, module)
    return module
  end,
})
