-- Faults on demand in a spec's bpfd: the page that spec/support/fault.c shares with its processes.
local uv = require "luv"

local BUILD <const> = os.getenv "BUILD" or uv.cwd() .. "/build"
local PAGE <const> = "<I4I4I4I4i4I4I4c32"
local modes <const> = { count = 0, fail = 1, kill_caller = 2, kill_daemon = 3 }

local EIO <const> = 5

local fault = {}
fault.__index = fault

---@param path string  where the page may be
function fault.new(path)
  local self = setmetatable({ path = path }, fault)
  local file <close> = assert(io.open(path, "wb"))
  file:write(PAGE:pack(0, 0, 0, 0, 0, 0, 0, ""))
  return self
end

---For the environment of the daemon, which must not be under a sanitizer.
function fault:environment()
  return { LD_PRELOAD = BUILD .. "/spec/fault.so", FAULT_FILE = self.path }
end

local function write(self, armed, mode, at, daemon)
  local file <close> = assert(io.open(self.path, "r+b"))
  -- last the word that makes it count
  file:write(PAGE:pack(0, modes[mode], at, EIO, daemon, 0, 0, ""))
  file:seek "set"
  file:write(("<I4"):pack(armed))
end

---From now on: `count` calls, or let the `at`-th of them fail or end who makes it or the daemon.
---@param mode "count"|"fail"|"kill_caller"|"kill_daemon"
---@param at integer?
---@param daemon integer?  its pid
function fault:arm(mode, at, daemon)
  write(self, 1, mode, at or 0, daemon or 0)
end

---Ends that.
---@return { calls: integer, fired: boolean, name: string }
function fault:disarm()
  local file <close> = assert(io.open(self.path, "r+b"))
  file:write(("<I4"):pack(0))
  file:seek "set"
  local _, _, _, _, _, calls, fired, name = PAGE:unpack(file:read "a")
  return { calls = calls, fired = fired ~= 0, name = name:match "^[^\0]*" }
end

return fault
