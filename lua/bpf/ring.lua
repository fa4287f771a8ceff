-- Rings: what programs send through ring buffers and perf event arrays, as Lua values by BTF.

local core = require "bpf.core"
local error_object = require "bpf.error"
local layout = require "bpf.layout"

local ring = {}

---@class bpf.ring
---@field take fun(self): string?, integer|bpf.error|nil the next record, and its CPU where the map
---is a perf event array; nil where none is there
---@field wait fun(self, seconds: number?): boolean?, bpf.error? whether there is one
---@field lost fun(self): integer records that a perf event array had no room for, as far as it has
---been read; of a ring buffer only the program can know
---@field close fun(self)
local methods = core.ring.methods

local known_options <const> = { pages = true }

local maps <const> = setmetatable({}, { __mode = "k" }) -- of rings, for their BTF

---Takes the place of whoever reads the map now: each record goes to one reader.
---@param map bpf.map
---@param options? { pages: integer? } of memory for each CPU of a perf event array: 64
---@return bpf.ring?
---@return bpf.error? err
function ring.open(map, options)
  options = options or {}
  for key in pairs(options) do
    if not known_options[key] then error("ring.open has no option " .. tostring(key), 2) end
  end
  local opened, err = core.ring.open(map, options.pages or 64)
  if opened then
    maps[opened] = map
    return opened
  end
  local info <const> = map:info()
  if err.code == "EMEDIUMTYPE" then
    err = error_object.new { code = "EINVAL",
      message = ("map %s is a %s, which holds no records"):format(info.name, info.type) }
  elseif err.code == "EPERM" or err.code == "EACCES" then
    err = err:with_advice(info.type == "ringbuf" and "a ring buffer is read with mode rw"
      or "perf events want CAP_PERFMON")
  end
  return nil, err:because("reading the records of map " .. info.name)
end

---The layout of records: a type of the BTF by its name, or a format string with a colon in it.
---@param description string
---@param types bpf.btf?
---@return bpf.layout?
---@return bpf.error? err
function ring.layout(description, types)
  if description:find(":", 1, true) then return layout.format(description) end
  if not types then
    return nil, error_object.new { code = "ENOENT",
      message = ("there is no BTF to find %s in"):format(description) }
  end
  local id, err = types:named(description)
  if not id then
    return nil, err:with_advice((err.advice and err.advice .. " " or "")
      .. "BTF has the types of maps, of global variables and of functions' parameters")
  end
  return layout.of(types, id, { cut = true })
end

local function reader(self, options)
  local form = options.layout
  if not form and options.type then
    local types <const> = options.btf or not options.type:find(":", 1, true) and maps[self]:btf()
    form = assert(ring.layout(options.type, types or nil))
  end
  if not form then return function(bytes) return bytes end end
  return function(bytes)
    if #bytes >= form.size then return form.read(bytes, 0) end
    error(error_object.new { code = "EINVAL",
      message = ("a record has %d bytes, and %s has %d"):format(#bytes, options.type or "its type",
        form.size) })
  end
end

local function now() return core.system.clock "monotonic" / 1e9 end

local event_options <const> = { type = true, btf = true, layout = true, timeout = true }

---`for event, cpu in ring:events { type = "event", timeout = 1 } do`: ends when nothing has come
---for that many seconds; without, never. Texts end at their first zero. Without a type, events are
---bytes. The BTF is the map's, or that of a program which uses it. Raises an error object where the
---type or a record is not as it was said.
---@param options? { type: string?, btf: bpf.btf?, layout: bpf.layout?, timeout: number? }
---@return fun(): any, integer?
function methods:events(options)
  options = options or {}
  for key in pairs(options) do
    if not event_options[key] then error("events has no option " .. tostring(key), 2) end
  end
  local read <const> = reader(self, options)
  local timeout <const> = options.timeout
  return function()
    local deadline <const> = timeout and now() + timeout
    while true do
      local bytes, cpu = self:take()
      if bytes then return read(bytes), cpu end
      if cpu then error(cpu) end
      local left <const> = deadline and deadline - now()
      if left and left <= 0 then return nil end
      local ready, err = self:wait(left)
      if ready == nil then error(err) end
    end
  end
end

return ring
