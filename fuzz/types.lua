-- BTF: every type of a table, and how its values lie in memory.

local check = require "fuzz.check"
local btf = require "bpf.btf"
local layout = require "bpf.layout"

local MOST <const> = 1 << 12 -- bytes of a value that is read

local function lay_out(types, id)
  if types:type(id).size > MOST then return end
  local of <const> = layout.of(types, id)
  local bytes <const> = ("\1"):rep(of.size)
  local value <const> = of.read(bytes)
  assert(type(layout.drawing(of, "json")(bytes)) == "string")
  if value == nil then return end
  local written, why = pcall(of.write, value) -- two members of one name cannot both be written
  assert(written or not why:find "lua/bpf[%w_/]*%.lua:%d+:", why)
end

return function(bytes)
  local types <close> = check.result(btf.open(bytes))
  if not types then return end
  local id, found = 1, types:type(1)
  while found do
    lay_out(types, id)
    id = id + 1
    found = types:type(id)
  end
  types:named "struct event"
end
