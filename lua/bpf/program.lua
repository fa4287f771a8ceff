-- Programs: by id, by pin, or out of a loaded object.

local core = require "bpf.core"

local program = {}

---@class bpf.program
---@field name string? of an object's program: the function's name
---@field section string?
---@field type string? as the object says; nil while the section does not tell
---@field fd fun(self): integer the descriptor, borrowed
---@field info fun(self): bpf.program_info?, bpf.error?
---@field pin fun(self, path: string): true?, bpf.error?
---@field bind_map fun(self, map: bpf.map): true?, bpf.error? the map lives as long as the program
---@field close fun(self)
local methods = core.program.methods

---@class bpf.program_info keys as bpftool has them; nil where the kernel does not tell
---@field id integer
---@field name string at most 15 letters
---@field type string the kernel's enum in small letters, sched_cls as "tc"
---@field tag string
---@field loaded_at integer seconds since the epoch
---@field loaded_at_ns integer nanoseconds since the epoch
---@field gpl_compatible boolean
---@field map_ids integer[]
---@field btf_id integer?
---@field bytes_xlated integer
---@field jited boolean
---@field bytes_jited integer
---@field bytes_memlock integer?
---@field verified_insns integer?
---@field run_count integer
---@field run_time_ns integer
---@field uid integer

---@param id integer
---@return bpf.program?
---@return bpf.error? err
function program.open_id(id) return core.program.open_id(id) end

---@param path string
---@return bpf.program?
---@return bpf.error? err
function program.open_pin(path) return core.program.open_pin(path) end

---Ids of all programs on the system, ascending: `for id in bpf.program.each() do`. Raises an error
---object where the kernel does not let us look (it wants CAP_SYS_ADMIN).
---@return fun(): integer?
function program.each()
  local last = 0
  return function()
    local id, err = core.program.next_id(last)
    if err then error(err) end
    last = id
    return id
  end
end

---Run it once, or `repeat` times, on a packet of our own (BPF_PROG_TEST_RUN).
---@param options { data: string?, repeat: integer?, context: string? }
---@return { verdict: integer, data: string, duration: integer }? result nanoseconds of one run
---@return bpf.error? err
function methods:test_run(options)
  local verdict, data, duration =
    core.program.test_run(self, options.data or "", options["repeat"] or 1, options.context)
  if not verdict then return nil, data end
  return { verdict = verdict, data = data, duration = duration }
end

return program
