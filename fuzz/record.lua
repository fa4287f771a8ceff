-- What is read back of pins: the record of a member, which is fused with itself, and the manifest
-- of a chain.

local check = require "fuzz.check"
local core = require "bpf.core"
local fuse = require "bpf.chain.fuse"
local kernel = require "fuzz.kernel"
local manifest = require "bpf.chain.manifest"

local XDP <const>, ARRAY <const> = 6, 2
local PROCEED_ON_PASS <const> = 1 << 2
local MOST_MAPS <const> = 4

local function build(record, described)
  local id <const> = kernel.add { kind = "program", type = XDP, name = "member" }
  local program <close> = assert(core.program.open_id(id))
  local maps = {}
  for _, map_id in ipairs(described.map_references) do
    if map_id > id and map_id <= id + MOST_MAPS and not maps[map_id] then
      while kernel.add { kind = "map", type = ARRAY, key_size = 4, value_size = 8,
        max_entries = 1 } < map_id do end
      maps[map_id] = assert(core.map.open_id(map_id))
    end
  end
  local member <const> = { name = described.name, mask = PROCEED_ON_PASS, record = record,
    program = program, maps = maps }
  local built <close> = check.result(fuse.build({ type = "xdp" }, { member, member, member }))
  if built then assert(#built.called == 3) end
  for _, map in pairs(maps) do map:close() end
end

return function(bytes)
  local chain <const> = check.result(manifest.decode(bytes))
  if chain then assert(manifest.decode(manifest.encode(chain))) end
  local note <const> = check.result(fuse.note(bytes))
  local described <const> = check.result(core.chain.describe(bytes))
  if not described then return end
  assert(note, "a record without a note")
  build(bytes, described)
end
