-- Hooks: the places where chains attach. Each change of what runs there is one operation of the
-- kernel.

local core = require "bpf.core"
local error_object = require "bpf.error"

---@class bpf.chain.hook
---@field type "xdp"|"tc"
---@field ifindex integer in the calling thread's network namespace
---@field direction "ingress"|"egress"|nil of tc
---@field mode "auto"|"native"|"generic" of xdp
---@field attach_as "auto"|"tcx"|"clsact" of tc
---@field name string of its directory of pins: type, namespace, interface, direction
local hook = {}
hook.__index = hook

local known <const> = { type = true, ifindex = true, direction = true, mode = true, attach = true }
local choices <const> = {
  type = { xdp = true, tc = true },
  direction = { ingress = true, egress = true },
  mode = { auto = true, native = true, generic = true },
  attach = { auto = true, tcx = true, clsact = true },
}

local function check(options)
  for key in pairs(options) do
    if not known[key] then error("a hook has no option " .. tostring(key), 3) end
  end
  for key, allowed in pairs(choices) do
    if options[key] ~= nil and not allowed[options[key]] then
      error(("a hook's %s cannot be %s"):format(key, tostring(options[key])), 3)
    end
  end
  if not options.type or math.type(options.ifindex) ~= "integer" then
    error("a hook needs a type and an ifindex", 3)
  end
  if options.type == "tc" and not options.direction then error("a tc hook needs a direction", 3) end
end

---@class bpf.chain.hook.options
---@field type "xdp"|"tc"
---@field ifindex integer
---@field direction "ingress"|"egress"|nil
---@field mode "auto"|"native"|"generic"|nil
---@field attach "auto"|"tcx"|"clsact"|nil

---@param options bpf.chain.hook.options
---@return bpf.chain.hook?
---@return bpf.error? err
function hook.new(options)
  check(options)
  local cookie, err = core.network.namespace_cookie()
  if not cookie then return nil, err end
  local name = ("%s-%s-%d"):format(options.type, cookie, options.ifindex)
  if options.direction then name = name .. "-" .. options.direction end
  return setmetatable({
    type = options.type, ifindex = options.ifindex, direction = options.direction,
    mode = options.mode or "auto", attach_as = options.attach or "auto", name = name,
  }, hook)
end

---How this hook's chains attach on this kernel.
---@return "xdp"|"tcx"|"clsact"
function hook:kind()
  if self.type == "xdp" then return "xdp" end
  if self.attach_as ~= "auto" then return self.attach_as end
  return core.chain.has_tcx() and "tcx" or "clsact"
end

---The id of the program that runs there, and how: "native" or "generic", "tcx", "clsact". Under TCX
---any number of programs run, so the link has to be given to tell ours.
---@param link? table
---@return integer? id
---@return string|bpf.error|nil how
function hook:running(link)
  if link then
    local info, err = link:info()
    if not info then return nil, err end
    -- a link outlives its interface, and then shows no interface
    if info.ifindex == 0 then return nil end
    if self.type ~= "xdp" then return info.prog_id, "tcx" end
  end
  if self.type == "xdp" then return core.network.xdp(self.ifindex) end
  local id, err = core.chain.query_filter(self.ifindex, self.direction)
  return id, id and "clsact" or err
end

local function interface_name(self)
  return core.network.name(self.ifindex) or "interface " .. self.ifindex
end

---Of XDP: nothing of anybody's runs there.
---@return true?
---@return bpf.error? err
function hook:check_free()
  local id, err = core.network.xdp(self.ifindex)
  if not id and err then return nil, err end
  if not id then return true end
  local iface = interface_name(self)
  return nil, error_object.new {
    code = "EBUSY",
    message = ("XDP of %s runs program %d, which is not ours"):format(iface, id),
    advice = ("detach it first, with the tool that attached it or `ip link set dev %s xdp off`")
      :format(iface),
  }
end

-- Not even under TCX, which would run beside it: who made that qdisc has filters of their own, and
-- a chain ahead of them would decide over their packets.
local function check_qdisc(self)
  local kind, err = core.network.qdisc(self.ifindex)
  if not kind and err then return nil, err end
  if kind ~= "ingress" then return true end
  local iface = interface_name(self)
  return nil, error_object.new {
    code = "EBUSY", message = iface .. " has an ingress qdisc, which is not ours",
    advice = ("remove it first, with the tool that added it or `tc qdisc del dev %s ingress`")
      :format(iface),
  }
end

---Puts a first program on the hook.
---@param program table
---@return table|true|nil link to be pinned or kept; `true` where a TC filter holds the program
---@return string|bpf.error mode "native", "generic", "tcx" or "clsact"
---@return string? refusal code name of the driver's refusal that led to generic mode
function hook:attach(program)
  local kind = self:kind()
  if kind == "xdp" then
    local ok, err = self:check_free()
    if not ok then return nil, err end
    return core.chain.attach_xdp(program, self.ifindex, self.mode)
  end
  local ok, err = check_qdisc(self)
  if not ok then return nil, err end
  if kind == "tcx" then
    local link
    link, err = core.chain.attach_tcx(program, self.ifindex, self.direction)
    return link, link and "tcx" or err
  end
  ok, err = core.chain.set_filter(program, self.ifindex, self.direction)
  if not ok then return nil, err end
  return true, "clsact"
end

---Replaces the running program in place. A packet meets the old or the new one.
---@param link? table nil or `true` for clsact
---@param program table
---@param old_id integer what must still run there; otherwise ESTALE and nothing changes
---@return true|nil
---@return bpf.error? err
function hook:replace(link, program, old_id)
  if link and link ~= true then return core.chain.update(link, program, old_id) end
  return core.chain.set_filter(program, self.ifindex, self.direction, old_id)
end

---Takes the program off the hook.
---@param link? table nil or `true` for clsact
---@param old_id? integer needed for clsact: what must still run there
---@return true|nil
---@return bpf.error? err
function hook:detach(link, old_id)
  if link and link ~= true then return link:detach() end
  return core.chain.remove_filter(self.ifindex, self.direction, old_id)
end

return hook
