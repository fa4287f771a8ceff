-- Prints what stands in the maps of a program that bpfd has loaded, as Lua values:
--
--   lua5.4 examples/counters.lua ID
--
-- Values per CPU are added up, as counters want it.
local bpf = require "bpf"

local id = math.tointeger(arg[1])
if not id then
  io.stderr:write "usage: lua5.4 counters.lua ID    (bpfctl list shows the ids)\n"
  os.exit(64)
end

local function add(a, b)
  if type(b) ~= "table" then return (a or 0) + b end
  local sum = a or {}
  for name, value in pairs(b) do sum[name] = add(sum[name], value) end
  return sum
end

local function shown(value)
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for name, inner in pairs(value) do parts[#parts + 1] = ("%s = %s"):format(name, shown(inner)) end
  table.sort(parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local bpfd <close> = assert(bpf.client.connect())
for _, found in ipairs(assert(bpfd:call("map.list", { program_id = id })).maps) do
  print(found.name)
  local map <close> = assert(bpf.map.open_pin(found.pin_path))
  local typed = assert(map:typed())
  for key, value in typed:entries() do
    if typed:is_per_cpu() then
      local sum
      for _, on_cpu in ipairs(value) do sum = add(sum, on_cpu) end
      value = sum
    end
    print(("  %s: %s"):format(shown(key), shown(value)))
  end
end
