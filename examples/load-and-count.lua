#!/usr/bin/env -S bpfctl run
-- Loads a counting XDP program through bpfd, shows its counters for a while, and unloads it:
--
--   bpfctl run examples/load-and-count.lua FILE.o IFACE [SECONDS]
--
-- FILE.o is go-xdp-counter/bpf_bpfel.o. Ctrl-C ends it early, and unloads the program all the same.
-- luacheck: read globals bpf client
local path, iface, seconds = arg[1], arg[2], tonumber(arg[3] or "10")
if not iface or not seconds then
  io.stderr:write "usage: bpfctl run load-and-count.lua FILE.o IFACE [SECONDS]\n"
  os.exit(64)
end

-- What a block has loaded goes with the block, however that ends.
local function loaded(attach)
  local program = assert(client:call("program.load",
    { fd = 0, name = "xdp_stats", attach = attach }, { descriptors = { path } }))
  return setmetatable(program, {
    __close = function() assert(client:call("program.unload", { id = program.id })) end,
  })
end

local function packets(map)
  local total = 0
  for _, on_cpus in map:entries() do
    for _, value in ipairs(on_cpus) do total = total + value.rx_packets end
  end
  return total
end

local program <close> = loaded { type = "xdp", iface = iface, priority = 50 }
local map <close> = assert(bpf.map.open_pin(program.map_pin_path .. "/xdp_stats_map"))
local typed = assert(map:typed())
io.stdout:setvbuf "line"
print(("program %d counts on %s"):format(program.id, iface))
local _, err = bpf.deadline(seconds, function()
  local before
  while true do
    local now = packets(typed)
    if now ~= before then print(now) end
    before = now
    bpf.sleep(0.1)
  end
end)
if err.code ~= "ETIMEDOUT" then error(err) end
