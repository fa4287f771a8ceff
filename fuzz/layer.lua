-- Layers: archives, in what compression ever, with objects in them.

local check = require "fuzz.check"
local core = require "bpf.core"

local LIMITS <const> = { object_size = 1 << 16, unpacked = 1 << 20, entries = 64, objects = 4 }

return function(bytes)
  local sealed <close> = assert(core.system.seal(bytes, #bytes + 1, "layer"))
  local objects <const> = check.result(core.layer.read(sealed, LIMITS))
  if not objects then return end
  assert(#objects <= LIMITS.objects)
  for _, each in ipairs(objects) do
    assert(each.size <= LIMITS.object_size)
    assert(#core.system.read(each.object, each.size + 1) == each.size)
    assert(each.path:sub(1, 1) ~= "/" and not ("/" .. each.path .. "/"):find("/../", 1, true))
    each.object:close()
  end
end
