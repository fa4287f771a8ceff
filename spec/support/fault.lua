-- Faults on demand in a spec's bpfd: the pages that spec/support/fault.c shares with its processes.
local uv = require "luv"

local BUILD <const> = os.getenv "BUILD" or uv.cwd() .. "/build"
local PAGE <const> = "<I4I4I4I4i4I4I4c32c16"
local ENTRY <const> = "<BBc14"
local LOGGED <const> = 8192
local modes <const> = { count = 0, fail = 1, kill_caller = 2, kill_daemon = 3 }
local errors <const> = { EIO = 5, ENOSPC = 28 }
local effects <const> = { [0] = "looks", "needs room", "changes" }

local fault = {}
fault.__index = fault

---@param path string  where the pages may be
function fault.new(path)
  local self = setmetatable({ path = path }, fault)
  local file <close> = assert(io.open(path, "wb"))
  file:write(PAGE:pack(0, 0, 0, 0, 0, 0, 0, "", ""), ("\0"):rep(ENTRY:packsize() * LOGGED))
  return self
end

---For the environment of the daemon, which must not be under a sanitizer.
function fault:environment()
  return { LD_PRELOAD = BUILD .. "/spec/fault.so", FAULT_FILE = self.path }
end

local function write(self, armed, mode, options)
  local file <close> = assert(io.open(self.path, "r+b"))
  -- last the word that makes it count
  file:write(PAGE:pack(0, modes[mode], options.at or 0, errors[options.error or "EIO"],
    options.daemon or 0, 0, 0, "", options.only or ""))
  file:seek "set"
  file:write(("<I4"):pack(armed))
end

---From now on: `count` calls, or let the `at`-th of them fail or end who makes it or the daemon.
---@param mode "count"|"fail"|"kill_caller"|"kill_daemon"
---@param options { at: integer?, error: "EIO"|"ENOSPC"|nil, daemon: integer?, only: string? }
---  daemon: its pid; without one, the next that starts; only: of the calls with this name
function fault:arm(mode, options)
  write(self, 1, mode, options)
end

---@class spec.fault.call
---@field name string
---@field effect "looks"|"needs room"|"changes"  on what outlives its process
---@field by_daemon boolean  and not by one of its jobs

---@param file file*
---@return spec.fault.call[]
local function read_log(file, count)
  local log, size = {}, ENTRY:packsize()
  for at = 1, math.min(count, LOGGED) do
    local effect, by_daemon, name = ENTRY:unpack(file:read(size))
    log[at] = { name = name:match "^[^\0]*", effect = effects[effect], by_daemon = by_daemon == 1 }
  end
  return log
end

---Ends that.
---@return { calls: integer, fired: boolean, name: string, log: spec.fault.call[] }  log: of what
---  was counted
function fault:disarm()
  local file <close> = assert(io.open(self.path, "r+b"))
  file:write(("<I4"):pack(0))
  file:seek "set"
  local _, mode, _, _, _, calls, fired, name = PAGE:unpack(file:read(PAGE:packsize()))
  return { calls = calls, fired = fired ~= 0, name = name:match "^[^\0]*",
    log = mode == modes.count and read_log(file, calls) or {} }
end

---Which of the calls of this name is the first behind the first one of another.
---@param log spec.fault.call[]
---@param name string
---@param other string
---@return integer  for `arm`, with `only`
function fault.place_behind(log, name, other)
  local at, is_behind = 0, false
  for _, call in ipairs(log) do
    is_behind = is_behind or call.name == other
    if call.name == name then at = at + 1 end
    if call.name == name and is_behind then return at end
  end
  error(("there is no %s behind a %s"):format(name, other))
end

return fault
