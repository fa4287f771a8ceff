-- What is read back of pins: the record of a member, which is fused with itself, the note in it,
-- which the daemon's index takes, and the manifest of a chain.

local check = require "fuzz.check"
local core = require "bpf.core"
local fuse = require "bpf.chain.fuse"
local kernel = require "fuzz.kernel"
local manifest = require "bpf.chain.manifest"
local program_object = require "bpfd.program_object"
local store = require "bpfd.store"
local tree = require "bpfd.tree"

local XDP <const>, ARRAY <const> = 6, 2
local PROCEED_ON_PASS <const> = 1 << 2
local MOST_MAPS <const> = 4

local index <const> = assert(store.open(":memory:", "boot"))

local function keep(note)
  assert(index:change(function()
    index:put_program(1, note, nil, program_object.fixed(1, note))
    return true
  end))
  assert(index:program(1))
end

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
  local kept <const> = check.result(tree.note_of(bytes))
  if kept then keep(kept) end
  local note <const> = check.result(fuse.note(bytes))
  local described <const> = check.result(core.chain.describe(bytes))
  if not described then return end
  assert(note, "a record without a note")
  build(bytes, described)
end
