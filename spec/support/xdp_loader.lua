-- xdp-loader, the other one on a shared interface; BPFD_XDP_LOADER names one that is not installed.
local bpf = require "bpf"
local core = require "bpf.core"
local libxdp = require "bpf.chain.libxdp"
local process = require "spec.support.process"
local support = require "spec.support.chain"
local uv = require "luv"

local xdp_loader = {}

local PROGRAM <const> = os.getenv "BPFD_XDP_LOADER" or "xdp-loader"
local OBJECT <const> = (os.getenv "BUILD" or "build") .. "/objects/libxdp_peer.o"
local LOCK_FILE <const> = "/run/xdp-loader.lck"

xdp_loader.object = OBJECT
xdp_loader.directory = "/sys/fs/bpf/xdp"

---Why there is no other, for a test to be skipped.
---@return string?
function xdp_loader.refusal()
  local found = process.run { "sh", "-c", "command -v " .. PROGRAM }
  if found.exit ~= 0 then return PROGRAM .. " is not installed (package xdp-tools)" end
end

-- One run at a time on the whole machine: others wait.
---@return process.result
function xdp_loader.run(namespace, arguments, options)
  local command = namespace:inside { PROGRAM, table.unpack(arguments) }
  local result
  process.eventually(function()
    result = process.run(command, options)
    return not result.stderr:find("lock", 1, true) or not uv.fs_stat(LOCK_FILE)
  end)
  return result
end

local function check(namespace, arguments, options)
  local result = xdp_loader.run(namespace, arguments, options)
  if result.exit ~= 0 then
    error(("xdp-loader %s: exit %d\n%s%s"):format(table.concat(arguments, " "), result.exit,
      result.stdout, result.stderr), 3)
  end
  return result.stdout
end

---@class spec.peer a program that xdp-loader has loaded, with its counter

local made = 0
local peer = {}
peer.__index = peer

---The arguments of a load, and where its counter will be pinned.
local function load_arguments(iface, wish)
  made = made + 1
  local pins = ("/sys/fs/bpf/bpfd-spec-%d-%d"):format(uv.os_getpid(), made)
  local arguments = { "load", "-p", pins, "-n", wish.name or "peer_pass", "-P",
    tostring(wish.priority or 50), "-m", wish.mode or "native" }
  if wish.actions then table.move({ "-A", wish.actions }, 1, 2, #arguments + 1, arguments) end
  table.move({ iface, wish.object or OBJECT }, 1, 2, #arguments + 1, arguments)
  return arguments, pins
end

---Loads; returns the result as well where `wish.may_fail`.
---@param wish { priority: integer?, actions: string?, name: string?, mode: string?, env: table? }
function xdp_loader.load(namespace, iface, wish)
  local arguments, pins = load_arguments(iface, wish)
  process.check { "mkdir", "-p", pins }
  local self = setmetatable({ pins = pins }, peer)
  local before = {}
  for id in bpf.program.each() do before[id] = true end
  check(namespace, arguments, { env = wish.env })
  for id in bpf.program.each() do
    local program <close> = not before[id] and bpf.program.open_id(id) or nil
    local info = program and program:info()
    if info and info.name == (wish.name or "peer_pass"):sub(1, 15) then self.id = id end
  end
  return self
end

function xdp_loader.try_load(namespace, iface, wish)
  local arguments, pins = load_arguments(iface, wish)
  process.check { "mkdir", "-p", pins }
  return xdp_loader.run(namespace, arguments), pins
end

---How often the program whose map is pinned below this path has run.
function xdp_loader.hits(pins)
  local map <close> = assert(bpf.map.open_pin(pins .. "/hits"))
  return (string.unpack("=I8", assert(map:lookup(string.pack("=I4", 0)))))
end

function peer:hits() return xdp_loader.hits(self.pins) end

function xdp_loader.unload(namespace, iface, id)
  if id then return check(namespace, { "unload", iface, "-i", tostring(id) }) end
  return check(namespace, { "unload", iface, "--all" })
end

---@class spec.peer_line
---@field id integer
---@field priority integer
---@field name string
---@field actions string

---Members of the interface's chain as `xdp-loader status` has them, in order, and the dispatcher.
---@return spec.peer_line[] members
---@return { name: string, mode: string, id: integer }? dispatcher
function xdp_loader.status(namespace, iface, options)
  local text = check(namespace, { "status", iface }, options)
  local members, dispatcher = {}, nil
  for line in text:gmatch "[^\n]+" do
    local name, mode, id = line:match(iface .. "%s+(%S+)%s+(%S+)%s+(%d+)%s+%x+")
    if name then dispatcher = { name = name, mode = mode, id = math.tointeger(tonumber(id)) } end
    local priority, member, member_id, actions =
      line:match "^%s*=>%s+(%d+)%s+(%S+)%s+(%d+)%s+%x+%s+(%S+)"
    if priority then
      members[#members + 1] = { priority = math.tointeger(tonumber(priority)), name = member,
        id = math.tointeger(tonumber(member_id)), actions = actions }
    end
  end
  return members, dispatcher
end

---The ids alone.
---@return integer[]
function xdp_loader.ids(namespace, iface, options)
  local ids = {}
  for place, member in ipairs((xdp_loader.status(namespace, iface, options))) do
    ids[place] = member.id
  end
  return ids
end

---The version of the dispatcher that an interface runs; nil where there is none.
---@return integer?
function xdp_loader.live_version(namespace, iface)
  local home <close> = assert(core.system.open "/proc/self/ns/net")
  support.enter(namespace)
  local running = libxdp.read(bpf.network.index(iface))
  assert(bpf.network.enter(home:fd()))
  return running and running.version
end

---The version of the dispatchers that this xdp-loader makes, and understands: 2 of xdp-tools 1.3 to
---1.5, 3 of 1.6. Tried on an interface without programs.
---@return integer
function xdp_loader.own_version(namespace, iface)
  xdp_loader.load(namespace, iface, {})
  local version = assert(xdp_loader.live_version(namespace, iface))
  xdp_loader.unload(namespace, iface)
  return version
end

---Takes all from an interface, as xdp-loader does, and where that does not know it, by hand: the
---next test is not to fail for it.
function xdp_loader.clear(namespace, iface)
  xdp_loader.run(namespace, { "unload", iface, "--all" })
  if not namespace:check({ "ip", "link", "show", "dev", iface }):find "prog/xdp" then return end
  namespace:run { "ip", "link", "set", iface, "xdp", "off" }
  process.run { "sh", "-c", "rm -r " .. xdp_loader.directory .. "/dispatch-*" }
end

---Removes the counters' pins.
function xdp_loader.clean_up()
  process.run { "sh", "-c", ("rm -rf /sys/fs/bpf/bpfd-spec-%d-*"):format(uv.os_getpid()) }
end

---What libxdp's directory has, as one text.
function xdp_loader.pins()
  return process.run({ "find", xdp_loader.directory, "-mindepth", "1" }).stdout
end

---What libxdp and these daemons have pinned, as one text: nothing, or what there is after a while.
---@param ... table  daemons
function xdp_loader.left(...)
  process.eventually(function() return xdp_loader.pins() == "" end, 3000)
  local left = xdp_loader.pins()
  for _, daemon in ipairs { ... } do
    local fs <const> = daemon.run_dir .. "/fs/"
    left = left
      .. process.run({ "find", fs .. "programs", fs .. "chains", "-mindepth", "1" }).stdout
      .. process.run({ "find", fs .. "staging", "-mindepth", "2" }).stdout
  end
  return left
end

return xdp_loader
