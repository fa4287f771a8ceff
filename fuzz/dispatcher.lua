-- Dispatchers of libxdp's protocol that somebody else has loaded: their constants and types.
-- Two bytes tell how many of the constants' there are, four the flags of the map, and types follow.

local check = require "fuzz.check"
local core = require "bpf.core"
local kernel = require "fuzz.kernel"

local XDP <const>, ARRAY <const> = 6, 2
local HEAD <const> = "<I2I4"

return function(bytes)
  if #bytes < HEAD:packsize() then return end
  local size, flags, at <const> = HEAD:unpack(bytes)
  local constants <const>, types <const> = bytes:sub(at, at + size - 1), bytes:sub(at + size)
  local program <close> = assert(core.program.open_id(kernel.add {
    kind = "program", type = XDP, name = "xdp_dispatcher",
    btf_id = kernel.add { kind = "btf", bytes = types },
    map_id = kernel.add { kind = "map", type = ARRAY, key_size = 4, max_entries = 1, flags = flags,
      value_size = size, bytes = constants },
  }))
  local found, err = core.libxdp.read(program)
  if err then check.refusal(err) end
  if found then assert(#found <= 10 and found.version >= 0) end
end
