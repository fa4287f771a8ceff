-- Blocks IPv4 addresses for filter.bpf.o, and shows how many packets each has sent since:
--
--   lua5.4 examples/block.lua ID [ADDRESS ...]
local bpf = require "bpf"

local id <const> = math.tointeger(tonumber(arg[1]))
if not id then
  io.stderr:write "usage: lua5.4 block.lua ID [ADDRESS ...]    (bpfctl list shows the ids)\n"
  os.exit(64)
end

local bpfd <close> = assert(bpf.client.connect())
-- BTF says that a key is a number of 32 bits; people write it as an address.
local blocked <close> = assert(bpf.map.open {
  client = bpfd, program_id = id, name = "blocked", key = "ip4",
})

for i = 2, #arg do
  local ok, err = blocked:set(arg[i], 0, "new") -- who is blocked already keeps the count
  if not ok and err.code ~= "EEXIST" then error(tostring(err), 0) end
end
for address, dropped in blocked:entries() do print(address, dropped) end
