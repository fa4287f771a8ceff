-- The attach types: one table that the command line parses by and the daemon checks requests by.

local error_object = require "bpf.error"
local nearest = require "bpf.nearest"
local verdict = require "bpf.verdict"

---@class bpf.attach.field
---@field name string         as in JSON; the long option has `-` for `_`
---@field kind "string"|"integer"|"flag"|"choice"|"choices"|"descriptor"
---@field required boolean?
---@field default any         nil: stays absent
---@field minimum integer?    of integers
---@field maximum integer?
---@field values string[]?    of choices
---@field check (fun(value: any): string?)?   returns what is wrong with it

local int_max <const> = 2147483647

local attach = {}

local function check_tracepoint(value)
  if value:find("^[^/]+/[^/]+$") then return nil end
  return "must be CATEGORY/NAME, as in sched/sched_switch"
end

local iface = { name = "iface", kind = "string", required = true }
local priority = {
  name = "priority", kind = "integer", required = true, minimum = 0, maximum = int_max,
}
local direction = {
  name = "direction", kind = "choice", required = true, values = { "ingress", "egress" },
}
local netns = { name = "netns", kind = "string" }
local netns_fd = { name = "netns_fd", kind = "descriptor" }
local retprobe = { name = "retprobe", kind = "flag", default = false }

local function proceed_on(kind)
  return {
    name = "proceed_on", kind = "choices",
    values = verdict.values(kind), default = verdict.default(kind),
  }
end

local function fn_name(required)
  return { name = "fn_name", kind = "string", required = required }
end

local function offset()
  return { name = "offset", kind = "integer", default = 0, minimum = 0, maximum = math.maxinteger }
end

local function process(name)
  return { name = name, kind = "integer", minimum = 1, maximum = int_max }
end

---@type table<string, bpf.attach.field[]>
attach.types = {
  xdp = { iface, netns, netns_fd, priority, proceed_on "xdp" },
  tc = { iface, netns, netns_fd, direction, priority, proceed_on "tc" },
  tcx = { iface, netns, netns_fd, direction, priority },
  tracepoint = {
    { name = "tracepoint", kind = "string", required = true, check = check_tracepoint },
  },
  kprobe = { fn_name(true), offset(), retprobe },
  uprobe = {
    fn_name(false), offset(),
    { name = "target", kind = "string", required = true },
    { name = "target_fd", kind = "descriptor" },
    retprobe, process "pid", process "container_pid",
  },
  fentry = { fn_name(true) },
  fexit = { fn_name(true) },
}

--- All names, in the order in which they are shown.
attach.names = { "xdp", "tc", "tcx", "tracepoint", "kprobe", "uprobe", "fentry", "fexit" }

local function is_name(value)
  return type(value) == "string" and value ~= "" and not value:find("\0", 1, true)
end

local function unknown_value(what, value, values)
  return ("%s has no value %q; the nearest is %s"):format(what, tostring(value),
    nearest(tostring(value), values))
end

local function is_one_of(value, values)
  for _, known in ipairs(values) do
    if known == value then return true end
  end
  return false
end

local read = {}

function read.string(field, value)
  if not is_name(value) then return nil, field.name .. " must be a word" end
  return value
end

function read.integer(field, value)
  local number <const> = math.tointeger(type(value) == "number" and value or nil)
  if not number then return nil, field.name .. " must be a whole number" end
  if number < field.minimum or number > field.maximum then
    return nil, ("%s must be from %d to %d"):format(field.name, field.minimum, field.maximum)
  end
  return number
end

function read.descriptor(field, value)
  local number <const> = math.tointeger(type(value) == "number" and value or nil)
  if not number or number < 0 or number > 15 then
    return nil, field.name .. " must be the place of a descriptor that came with the request"
  end
  return number
end

function read.flag(field, value)
  if type(value) ~= "boolean" then return nil, field.name .. " must be true or false" end
  return value
end

function read.choice(field, value)
  if is_one_of(value, field.values) then return value end
  return nil, unknown_value(field.name, value, field.values)
end

-- In the order of the values, each once.
function read.choices(field, value)
  if type(value) ~= "table" or #value == 0 then
    return nil, field.name .. " must name at least one of " .. table.concat(field.values, ", ")
  end
  local chosen = {}
  for _, name in ipairs(value) do
    if not is_one_of(name, field.values) then
      return nil, unknown_value(field.name, name, field.values)
    end
    chosen[name] = true
  end
  local ordered = {}
  for _, name in ipairs(field.values) do
    if chosen[name] then ordered[#ordered + 1] = name end
  end
  return ordered
end

--- What no single field can tell.
---@param checked table
---@return string? what is wrong
function attach.contradiction(checked)
  if checked.type == "uprobe" and not checked.fn_name and not checked.offset then
    return "uprobe needs fn_name, offset or both"
  end
  local offset_given <const> = checked.offset and checked.offset ~= 0
  if checked.retprobe and offset_given and checked.fn_name then
    return "offset not allowed with retprobe: a function returns to no place of its own"
  end
  return nil
end

local function fail(message)
  return nil, error_object.new { code = "EINVAL", message = message }
end

local function find_unknown(request, fields)
  local known = { "type" }
  for _, field in ipairs(fields) do known[#known + 1] = field.name end
  for key in pairs(request) do
    if not is_one_of(key, known) then
      return ("%s takes no %s; the nearest is %s"):format(request.type, tostring(key),
        nearest(tostring(key), known))
    end
  end
  return nil
end

--- Checks the `attach` of a request and completes it with defaults. Nothing is looked up here: an
--- interface or a function that does not exist is found when it is used.
---@param request table   with nulls left out
---@return table? attach   a copy, { type =, ... }
---@return bpf.error?
function attach.check(request)
  if type(request) ~= "table" then return fail "attach must be an object" end
  local fields <const> = attach.types[request.type]
  if request.type == nil then return fail "attach needs a type" end
  if not fields then return fail(unknown_value("attach type", request.type, attach.names)) end
  local unknown <const> = find_unknown(request, fields)
  if unknown then return fail(unknown) end

  local checked = { type = request.type }
  for _, field in ipairs(fields) do
    local value = request[field.name]
    if value == nil then
      if field.required then return fail(("%s needs %s"):format(request.type, field.name)) end
    else
      local good, wrong = read[field.kind](field, value)
      wrong = wrong or field.check and field.check(value)
      if wrong then
        return fail(wrong:find(field.name, 1, true) == 1 and wrong or field.name .. " " .. wrong)
      end
      checked[field.name] = good
    end
  end
  local contradiction <const> = attach.contradiction(checked)
  if contradiction then return fail(contradiction) end
  for _, field in ipairs(fields) do
    if checked[field.name] == nil then
      local default = field.default
      checked[field.name] = type(default) == "table" and { table.unpack(default) } or default
    end
  end
  return checked
end

return attach
