-- Programs of each type for the walks of faults: all count each event that they meet once, and let
-- it go on to the next.
local uv = require "luv"
local bpf = require "bpf"
local library = require "bpf.library"
local probe = require "spec.support.probe"
local rpc = require "spec.support.rpc"

local programs = {}

local here <const> = bpf.features.type "kprobe" and probe.kernel_function() or "none"
local libc <const> = assert(uv.fs_realpath(assert(library.find "libc")))

local traced <const> = { ONLY_PID = ("u32:%d"):format(probe.pid) }
local one_call <const> = { CALL = ("i64:%d"):format(probe.call), ONLY_PID = traced.ONLY_PID }
local pipe <const> = { VERDICT = "u32:3" } -- TC_ACT_PIPE, on which chains proceed
local next_one <const> = { VERDICT = "u32:4294967295" } -- TCX_NEXT

local kinds <const> = {
  xdp = { rpc.object, "count_xdp", { iface = "veth0" } },
  tc = { rpc.object, "count_tc", { iface = "veth0", direction = "ingress" }, pipe },
  tcx = { rpc.object, "count_tc", { iface = "veth0", direction = "ingress" }, next_one },
  tracepoint = { probe.object, "on_tracepoint", { tracepoint = probe.tracepoint }, traced },
  raw_tracepoint = { probe.object, "on_raw_tracepoint", { tracepoint = "sys_enter" }, one_call },
  kprobe = { probe.object, "on_kprobe", { fn_name = here }, traced },
  uprobe = { probe.object, "on_uprobe", { fn_name = "getpriority", target = libc }, traced },
  fentry = { probe.object, "on_fentry", { fn_name = here }, traced },
}

---@param type_name string  "tcx": another "tc" where the kernel has no TCX
---@param priority integer?  of types that have one
---@param v string?          its metadata: v tells one from another
---@return table params   of program.load, and of an entry of a declaration
---@return string object  path of the object file
function programs.of(type_name, priority, v)
  if type_name == "tcx" and probe.missing "tcx" then type_name = "tc" end
  local object <const>, name <const>, place <const>, global <const> = table.unpack(kinds[type_name])
  local attach = { type = type_name, priority = priority }
  for key, value in pairs(place) do attach[key] = value end
  return { name = name, attach = attach, global = global, metadata = v and { v = v } }, object
end

return programs
