-- A process that builds a chain, pins what the design says, attaches it, and then waits to be
-- killed: lua5.4 chain_owner.lua ENGINE DIRECTORY NAMESPACE IFINDEX MEMBER ... Members are XDP
-- programs of chain_xdp.
local bpf_map = require "bpf.map"
local chain = require "bpf.chain"
local support = require "spec.support.chain"
local uv = require "luv"

local engine, directory, namespace, ifindex = arg[1], arg[2], arg[3], tonumber(arg[4])
local PASS <const>, PASS_MASK <const> = 2, 0x80000004

local function make(path)
  assert(uv.fs_mkdir(path, tonumber("700", 8)))
  return path
end

---As the daemon does it: the maps and the record are pinned before anything runs.
local function pin_member(member, position)
  local home = make(("%s/%d"):format(directory, position))
  local record <close> = assert(bpf_map.blob(member.record, "record"))
  assert(member.program:bind_map(record))
  assert(record:pin(home .. "/record"))
  make(home .. "/maps")
  for id, map in pairs(member.maps) do assert(map:pin(("%s/maps/%d"):format(home, id))) end
  assert(member.program:pin(home .. "/program"))
end

support.enter(namespace)
local places = {}
for position = 5, #arg do
  local member = support.member("xdp", "chain_xdp", arg[position], nil, "note " .. arg[position],
    engine)
  member:choose(PASS, PASS)
  pin_member(member, position - 4)
  places[#places + 1] = member:with(PASS_MASK)
end
local build = assert(chain.engine(engine).build({ type = "xdp" }, places))
assert(build:pin(make(directory .. "/chain")))
local hook = assert(chain.hook { type = "xdp", ifindex = ifindex })
local link = assert(hook:attach(build.program))
assert(link:pin(directory .. "/link"))
io.stdout:write "ready\n"
io.stdout:flush()
uv.new_timer():start(60000, 0, function() os.exit(1) end)
uv.run()
