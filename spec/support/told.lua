-- Work that a job's process can be told (spec/job_spec.lua).
local uv = require "luv"
local system = require("bpf.core").system

local told = {}

local function name_of(fd) return (uv.fs_readlink("/proc/self/fd/" .. fd)) end

function told.perform(arguments, _, ask)
  if arguments.breaks then error "broken off" end
  local result = { pid = math.tointeger(uv.os_getpid()) }
  if arguments.opens then
    told.kept = assert(system.open(arguments.opens))
    result.fd = told.kept:fd()
    result.open = name_of(result.fd)
  end
  if arguments.looks_at then result.open = name_of(arguments.looks_at) end
  if arguments.asks then result.answer = ask(arguments.asks) end
  return result
end

return told
