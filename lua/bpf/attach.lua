-- The attach types: one table that the command line parses by and the daemon checks requests by.

local error_object = require "bpf.error"
local field = require "bpf.field"
local nearest = require "bpf.nearest"
local verdict = require "bpf.verdict"

local int_max <const> = 2147483647

local attach = {}

local function check_tracepoint(value)
  if value:find("^[^/]+/[^/]+$") then return nil end
  return "must be CATEGORY/NAME, as in sched/sched_switch"
end

local function check_raw_tracepoint(value)
  if not value:find "/" then return nil end
  return "must be the tracepoint's name alone, as in sched_switch"
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

-- In the order of the help pages.
---@type table<string, bpf.field[]>
attach.types = {
  xdp = { iface, priority, proceed_on "xdp", netns, netns_fd },
  tc = { direction, iface, priority, proceed_on "tc", netns, netns_fd },
  tcx = { direction, iface, priority, netns, netns_fd },
  tracepoint = {
    { name = "tracepoint", kind = "string", required = true, check = check_tracepoint },
  },
  kprobe = { fn_name(true), offset(), retprobe },
  uprobe = {
    fn_name(false), offset(),
    { name = "target", kind = "string", required = true },
    retprobe, process "pid", process "container_pid",
    { name = "target_fd", kind = "descriptor" },
  },
  raw_tracepoint = {
    { name = "tracepoint", kind = "string", required = true, check = check_raw_tracepoint },
  },
  fentry = { fn_name(true) },
  fexit = { fn_name(true) },
}

--- All names, in the order in which they are shown.
attach.names = {
  "xdp", "tc", "tcx", "tracepoint", "raw_tracepoint", "kprobe", "uprobe", "fentry", "fexit",
}

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
  for _, description in ipairs(fields) do known[#known + 1] = description.name end
  for key in pairs(request) do
    if not field.is_one_of(key, known) then
      return ("%s takes no %s; did you mean %s?"):format(request.type, tostring(key),
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
  if not fields then return fail("attach type " .. field.unknown(request.type, attach.names)) end
  local unknown <const> = find_unknown(request, fields)
  if unknown then return fail(unknown) end

  local checked = { type = request.type }
  for _, description in ipairs(fields) do
    local name <const> = description.name
    if request[name] ~= nil then
      local value, why = field.read(description, request[name])
      if why then return fail(name .. " " .. why) end
      checked[name] = value
    elseif description.required then
      return fail(("%s needs %s"):format(request.type, name))
    end
  end
  local contradiction <const> = attach.contradiction(checked)
  if contradiction then return fail(contradiction) end
  for _, description in ipairs(fields) do
    if checked[description.name] == nil then
      checked[description.name] = field.default(description)
    end
  end
  return checked
end

return attach
