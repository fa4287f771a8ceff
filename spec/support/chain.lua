-- Members for the specs of chains: loads one from spec/objects and keeps what the engine wants to
-- know of it.
local bpf_object = require "bpf.object"
local chain = require "bpf.chain"
local network = require "bpf.network"
local process = require "spec.support.process"
local uv = require "luv"

local support = {}

-- Hundreds of members with their maps are more descriptors than a login shell grants.
process.run { "prlimit", "--pid", ("%d"):format(uv.os_getpid()), "--nofile=16384:16384" }

local BUILD <const> = os.getenv "BUILD" or uv.cwd() .. "/build"

---@class spec.member
---@field name string
---@field object table
---@field program table
---@field record string
---@field maps table<integer, table>
local member = {}
member.__index = member

---Why this kernel does not run the engine, for a test to be skipped; nil if it does. Any other
---trouble than a refusal raises.
---@param engine_name "fuse"|"freplace"
---@param kind "xdp"|"tc"
---@return string? reason
function support.refusal(engine_name, kind)
  local available, reason = chain.engine(engine_name).available(kind)
  if available then return nil end
  assert(reason.code == "EPERM", tostring(reason))
  return tostring(reason)
end

---@param file string in build/objects, without .o
---@return string
function support.path(file)
  return ("%s/objects/%s.o"):format(BUILD, file)
end

---Loads one program of an object as a member of a chain.
---@param kind "xdp"|"tc"
---@param file string in build/objects, without .o
---@param name string
---@param globals? table<string, string>
---@param note? string
---@param engine_name? "fuse"|"freplace" fuse when left out
---@return spec.member
function support.member(kind, file, name, globals, note, engine_name)
  local engine = chain.engine(engine_name or "fuse")
  local object = assert(bpf_object.open(support.path(file)))
  assert(object:choose { name })
  assert(engine.prepare(object, name, { type = kind }))
  for global, bytes in pairs(globals or {}) do assert(object:set_global(global, bytes)) end
  assert(object:load())
  local maps = {}
  for _, map in pairs(object.maps) do maps[map:info().id] = map end
  return setmetatable({
    name = name, kind = kind, object = object, program = object.programs[name],
    record = assert(engine.record(object, name, note or "")), maps = maps,
  }, member)
end

local ZERO <const> = string.pack("I4", 0)

---What the member returns from now on, and the target of its tail call.
function member:choose(verdict, of_target)
  assert(self.object.maps[".data"]:update(ZERO, string.pack("i8i8", verdict, of_target or 0)))
end

---How often it has run, by its own count in .bss.
function member:runs()
  return (string.unpack("i8", assert(self.object.maps[".bss"]:lookup(ZERO))))
end

---This member at a place in a chain.
function member:with(mask)
  return {
    name = self.name, program = self.program, record = self.record, maps = self.maps, mask = mask,
    member = self,
  }
end

function member:close()
  self.object:close()
end
member.__close = member.close

---Brings this process into a network namespace.
function support.enter(namespace)
  local descriptor = assert(uv.fs_open(namespace.path or namespace, "r", 0))
  assert(network.enter(descriptor))
  uv.fs_close(descriptor)
end

---An IPv4 frame for BPF_PROG_TEST_RUN.
support.packet = ("\xff"):rep(6) .. ("\x02"):rep(6) .. "\x08\x00" .. "\x45" .. ("\0"):rep(85)

---The verdict of a program for the packet, and how long one run took.
function support.run(program, times)
  local result = assert(program:test_run { data = support.packet, ["repeat"] = times or 1 })
  return result.verdict, result.duration
end

return support
