-- Loads an object file without a daemon and shows what the kernel made of it:
--
--   lua5.4 examples/look.lua FILE.o     or    bpfctl run examples/look.lua FILE.o
--
-- Nothing is attached; it is all gone when the script ends.
local bpf = require "bpf"

local path = arg[1]
if not path then
  io.stderr:write "usage: lua5.4 look.lua FILE.o\n"
  os.exit(64)
end

local object <close> = assert(bpf.object.open(path))
for name, program in pairs(object.programs) do
  if not program.type then assert(object:as(name, "xdp")) end
end
assert(object:load())
for _, handles in ipairs { object.programs, object.maps } do
  local names = {}
  for name in pairs(handles) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do print(bpf.pretty.text(handles[name])) end
end
