-- Objects: eBPF object files, opened, changed, and loaded.

local core = require "bpf.core"
local error_object = require "bpf.error"
local nearest = require "bpf.nearest"
local sorted_keys = require "bpf.sorted_keys"
require "bpf.map" -- an object hands out handles: their methods come along
require "bpf.program"

local object = {}

---Bytes that an object file may have unless the caller says otherwise.
object.size_limit = 64 << 20

---@class bpf.object
---@field name string
---@field license string
---@field programs table<string, bpf.program> closed handles until the object is loaded
---@field maps table<string, bpf.map> closed handles until the object is loaded
local methods = core.object.methods

local known_options <const> = { name = true, limit = true }

---@param source string|{fd: integer}|{data: string} a path, a descriptor (left open), or the bytes
---@param options? { name: string?, limit: integer? } what to call it in messages; most bytes taken
---@return bpf.object? object
---@return bpf.error? err
function object.open(source, options)
  options = options or {}
  for key in pairs(options) do
    if not known_options[key] then error("object.open has no option " .. tostring(key), 2) end
  end
  local path = type(source) == "string" and source or nil
  local fd, data
  if not path then
    if type(source) ~= "table" or (source.fd == nil) == (source.data == nil) then
      error("an object is opened from a path, { fd = } or { data = }", 2)
    end
    fd, data = source.fd, source.data
  end
  local name = options.name or path or (fd and "descriptor " .. fd) or "object"
  return core.object.open(path, fd, data, name, options.limit or object.size_limit)
end

---The answer to a name that is not there: the likeliest that is, and all.
local function missing(what, name, set)
  local names = sorted_keys(set)
  local err = error_object.new {
    code = "ENOENT", message = ("there is no %s %s"):format(what, name),
  }
  if #names == 0 then return err end
  return err:with_advice(("did you mean %s? It has %s"):format(
    nearest(name, names), table.concat(names, ", ")))
end

---Load only these programs (and those that the object itself puts into its program arrays).
---@param names string|string[]
---@return true?
---@return bpf.error? err
function methods:choose(names)
  if type(names) == "string" then names = { names } end
  for _, name in ipairs(names) do
    if not self.programs[name] then return nil, missing("program", name, self.programs) end
    local ok, err = core.object.choose(self, name)
    if not ok then return nil, err end
  end
  return true
end

---Make a program one of this kind, whatever its section is called. Refused only where libbpf knows
---the section as another type.
---@param name string
---@param kind string xdp, tc, tracepoint, raw_tracepoint, kprobe, uprobe, fentry, fexit, freplace
---@param target? { fn_name: string, program: bpf.program? } what fentry, fexit, freplace hook into
---@return true?
---@return bpf.error? err
function methods:as(name, kind, target)
  if not self.programs[name] then return nil, missing("program", name, self.programs) end
  target = target or {}
  return core.object.set_kind(self, name, kind, target.fn_name, target.program)
end

local set_global = methods.set_global

---@param name string
---@param bytes string as they lie in memory; exactly as many as the variable has
---@return true?
---@return bpf.error? err
function methods:set_global(name, bytes)
  local globals = self:globals()
  if not globals[name] then return nil, missing("global", name, globals) end
  return set_global(self, name, bytes)
end

---Into the kernel. On failure `err.log` has the verifier's words and the object is as before.
---@param options? { verbosity: integer? } 2: object:log(name) has all of the log
---@return true?
---@return bpf.error? err
function methods:load(options)
  local ok, err = core.object.load(self, options and options.verbosity or 0)
  if ok then return true end
  return nil, err:because("loading " .. self.name)
end

return object
