-- Bytecode images: built, pushed to and pulled from registries, kept in a store, opened.

-- Each is loaded when first named: who lists images needs no registry.
local modules <const> = {
  build = true, catalog = true, described = true, key = true, labels = true, layer = true,
  prune = true, pull = true, push = true, signature = true, signing = true, store = true,
  stored = true,
}

return setmetatable({}, {
  __index = function(self, name)
    if not modules[name] then return nil end
    local module = require("bpf.image." .. name)
    rawset(self, name, module)
    return module
  end,
})
