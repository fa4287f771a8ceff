-- Layers: archives, in what compression ever, with objects in them.

local check = require "fuzz.check"
local core = require "bpf.core"

local LIMITS <const> = { object_size = 1 << 16, unpacked = 1 << 18, entries = 64, objects = 4 }

-- Sealed memory stands at its end: it is opened once more, to be read from its beginning.
local function open_again(sealed)
  return assert(core.system.open("/proc/self/fd/" .. sealed:fd()))
end

local function read(bytes)
  local sealed <close> = assert(core.system.seal(bytes, #bytes + 1, "layer"))
  local layer <close> = open_again(sealed)
  return core.layer.read(layer, LIMITS)
end

do -- else all of them could be refused alike, and nobody would see
  local seed <close> = assert(io.open("fuzz/corpus/layer/gzip", "rb"))
  local objects <const> = assert(read(seed:read "a"))
  assert(#objects == 1 and objects[1].path == "b/c.o")
  objects[1].object:close()
end

return function(bytes)
  local objects <const> = check.result(read(bytes))
  if not objects then return end
  assert(#objects <= LIMITS.objects)
  for _, each in ipairs(objects) do
    assert(each.size <= LIMITS.object_size)
    local object <close> = open_again(each.object)
    local at_once <const> = core.system.read(object, each.size + 1)
    assert(#at_once == each.size and at_once:sub(1, 4) == "\127ELF")
    assert(each.path:sub(1, 1) ~= "/" and not ("/" .. each.path .. "/"):find("/../", 1, true))
    each.object:close()
  end
end
