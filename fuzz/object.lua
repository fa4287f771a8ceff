-- Object files, through all that is done with them before the kernel: opened, described, prepared,
-- recorded as members of a chain, and fused with themselves.

local bpf = require "bpf"
local check = require "fuzz.check"
local core = require "bpf.core"
local fuse = require "bpf.chain.fuse"
local types = require "fuzz.types"

local PROCEED_ON_PASS <const> = 1 << 2

local function names_of(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function describe(object)
  for _, name in ipairs(names_of(object.programs)) do check.result(object:helpers(name)) end
  for name, facts in pairs(object:globals()) do
    if facts.size < 1 << 16 then check.result(object:set_global(name, ("\1"):rep(facts.size))) end
  end
  local bytes <const> = object:btf_bytes()
  if bytes then types(bytes) end
end

local function maps_of(object)
  local maps = {}
  for _, map in pairs(object.maps) do
    local info <const> = map:info()
    if info then maps[info.id] = map end
  end
  return maps
end

local function fuse_with_itself(object, name, kind)
  local record <const> = check.result(fuse.record(object, name, "a note"))
  if not record then return end
  assert(fuse.note(record) == "a note")
  assert(core.chain.describe(record), "what was written cannot be read")
  local member <const> = { name = name, mask = PROCEED_ON_PASS, record = record,
    program = object.programs[name], maps = maps_of(object) }
  local build <close> = check.result(fuse.build({ type = kind }, { member, member }))
  if build then assert(#build.called == 2) end
end

local function load_as(bytes, name, kind)
  local object <close> = bpf.object.open({ data = bytes }, { name = "fuzz.o" })
  if not check.result(object:choose(name)) then return end
  if not check.result(fuse.prepare(object, name, { type = kind })) then return end
  if not check.result(object:load()) then return end
  fuse_with_itself(object, name, kind)
end

return function(bytes)
  local object <close> = check.result(bpf.object.open({ data = bytes }, { name = "fuzz.o" }))
  if not object then return end
  describe(object)
  local name <const> = names_of(object.programs)[1]
  if not name then return end
  for _, kind in ipairs { "xdp", "tc" } do
    if object:as(name, kind) then load_as(bytes, name, kind) end
  end
end
