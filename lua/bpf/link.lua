-- Links: programs at work. A link ends with its last holder, unless it is pinned.

local core = require "bpf.core"
require "bpf.program" -- what is attached

local link = {}

---@class bpf.link
---@field fd fun(self): integer the descriptor, borrowed
---@field info fun(self): bpf.link_info?, bpf.error?
---@field pin fun(self, path: string): true?, bpf.error?
---@field detach fun(self): true?, bpf.error? XDP and TCX: now, whoever has pinned it
---@field close fun(self)
---@field update fun(self, new_program: bpf.program, old_program: bpf.program?): true?, bpf.error?
---update is atomic; with old_program only if that is what runs (else ESTALE). ENOLINK: the
---interface is gone

---@class bpf.link_info
---@field id integer
---@field type string the kernel's enum in small letters
---@field prog_id integer
---@field ifindex integer? XDP and TCX; 0 once the interface is gone
---@field severed boolean? XDP and TCX: the interface is gone, and the link runs nowhere
---@field direction "ingress"|"egress"|nil TCX

local function check_options(what, options, known)
  for key in pairs(options) do
    if not known[key] then error(("%s has no option %s"):format(what, tostring(key)), 3) end
  end
end

local tracepoint_options <const> = { category = true, name = true }

---@param program bpf.program
---@param options { category: string, name: string }
---@return bpf.link?
---@return bpf.error? err
function link.tracepoint(program, options)
  check_options("link.tracepoint", options, tracepoint_options)
  return core.link.tracepoint(program, options.category, options.name)
end

---@param program bpf.program
---@param options { name: string }
---@return bpf.link?
---@return bpf.error? err
function link.raw_tracepoint(program, options)
  check_options("link.raw_tracepoint", options, { name = true })
  return core.link.raw_tracepoint(program, options.name)
end

local kprobe_options <const> = { fn_name = true, offset = true, retprobe = true }

---@param program bpf.program
---@param options { fn_name: string, offset: integer?, retprobe: boolean? }
---@return bpf.link?
---@return bpf.error? err
function link.kprobe(program, options)
  check_options("link.kprobe", options, kprobe_options)
  return core.link.kprobe(program, options.fn_name, options.offset or 0, options.retprobe)
end

local uprobe_options <const> = {
  path = true, fn_name = true, offset = true, retprobe = true, pid = true, name = true,
}

---@class bpf.uprobe_options
---@field path string executable or library, as this process sees it; /proc/self/fd/N will do
---@field fn_name string? by either symbol table
---@field offset integer? behind the function, or without one in the file
---@field retprobe boolean?
---@field pid integer? else every process
---@field name string? what errors call the file; its path when left out

---@param program bpf.program
---@param options bpf.uprobe_options
---@return bpf.link?
---@return bpf.error? err
function link.uprobe(program, options)
  check_options("link.uprobe", options, uprobe_options)
  if not options.fn_name and not options.offset then
    error("a uprobe needs fn_name, offset or both", 2)
  end
  return core.link.uprobe(program, options.path, options.fn_name, options.offset or 0,
    options.retprobe, options.pid or 0, options.name)
end

local locate_options <const> = { path = true, fn_name = true, offset = true, name = true }

---Where in its file a uprobe would stand. Refused are places that are no code, and places inside an
---instruction, where a breakpoint would break every process that runs the file: as far as there is
---a symbol to count from, and the machine's instructions are known.
---@param options bpf.uprobe_options
---@return integer? offset
---@return bpf.error? err
function link.locate(options)
  check_options("link.locate", options, locate_options)
  return core.link.locate(options.path, options.fn_name, options.offset or 0,
    options.name or options.path)
end

---The function is the one that the program was loaded for (`object:as`, or its section).
---@param program bpf.program
---@return bpf.link?
---@return bpf.error? err
function link.fentry(program) return core.link.tracing(program, "fentry") end

---@param program bpf.program
---@return bpf.link?
---@return bpf.error? err
function link.fexit(program) return core.link.tracing(program, "fexit") end

---@param program bpf.program
---@param ifindex integer
---@param mode? "auto"|"native"|"generic" auto is the kernel's choice
---@return bpf.link?
---@return bpf.error? err
function link.xdp(program, ifindex, mode) return core.link.xdp(program, ifindex, mode) end

---@param program bpf.program
---@param ifindex integer
---@param direction "ingress"|"egress"
---@param place? { before: integer?, after: integer? } a program id there; 0 for the very end
---@return bpf.link?
---@return bpf.error? err
function link.tcx(program, ifindex, direction, place)
  place = place or {}
  check_options("link.tcx", place, { before = true, after = true })
  if place.before and place.after then error("a place is before or after, not both", 2) end
  local side = place.before and "before" or place.after and "after" or nil
  return core.link.tcx(program, ifindex, direction, side, place.before or place.after)
end

---@param id integer
---@return bpf.link?
---@return bpf.error? err
function link.open_id(id) return core.link.open_id(id) end

---@param path string
---@return bpf.link?
---@return bpf.error? err
function link.open_pin(path) return core.link.open_pin(path) end

---Ids of all links on the system, ascending. Raises an error object where the kernel does not let
---us look.
---@return fun(): integer?
function link.each()
  local last = 0
  return function()
    local id, err = core.link.next_id(last)
    if err then error(err) end
    last = id
    return id
  end
end

return link
