-- What maps cost: a hash of 100,000 entries as JSON, for bpftool's dump of it; and its walk in Lua.
local uv = require "luv"
local bpf = require "bpf"
local bpfctl = require "spec.support.bpfctl"
local process = require "spec.support.process"

local ENTRIES <const>, ROUNDS <const> = 100000, 9

local function filled(path)
  local object = assert(bpf.object.open(path))
  assert(object:load())
  local tallies = assert(object.maps.tallies:typed())
  for i = 1, ENTRIES do
    assert(tallies:set({ source = i, port = i & 0xffff }, { packets = i * 1000003, balance = -i,
      colour = i % 3 == 0 and "GREEN" or "RED", name = "name " .. i }))
  end
  return object, tallies
end

local function check_same(ours, theirs)
  local mine, others = assert(bpf.json.decode(ours)), assert(bpf.json.decode(theirs))
  assert(#mine == ENTRIES and #others == ENTRIES, "not all entries")
  local packets = {}
  for _, entry in ipairs(mine) do packets[entry.key.source] = entry.value.packets end
  for _, entry in ipairs(others) do
    local found <const> = entry.formatted
    assert(packets[found.key.source] == found.value.packets, "not the same content")
  end
end

---@param figures table  scripts.figures
---@param bpfd table     spec.support.daemon
---@param build string
return function(figures, bpfd, build)
  local object <close>, tallies = filled(build .. "/objects/map_types.o") -- luacheck: ignore object
  local id <const> = tostring(tallies.info.id)
  local ours, theirs = {}, {}
  for i = 1, ROUNDS do
    local mine <const> = bpfctl.run(bpfd, { "map", "show", id, "-o", "json" })
    local others <const> = process.run { "bpftool", "map", "dump", "-j", "id", id }
    ours[i], theirs[i] = mine.seconds, others.seconds
    if i == 1 then check_same(mine.stdout, others.stdout) end
  end
  figures:add_ratio(("bpfctl map show of %d entries, for bpftool map dump -j"):format(ENTRIES),
    ours, theirs, 1)
  local started <const>, count = uv.hrtime(), 0
  for _ in tallies:entries() do count = count + 1 end
  assert(count == ENTRIES)
  figures:add("an entry of it as Lua values", ("%.2f us"):format(
    (uv.hrtime() - started) / 1e3 / ENTRIES))
end
