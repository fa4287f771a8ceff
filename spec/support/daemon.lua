-- A bpfd of a spec's own: run, state and configuration in one directory that goes with it.
local uv = require "luv"
local core = require "bpf.core"
local dkjson = require "dkjson"
local bpf = require "bpf"
local process = require "spec.support.process"
local bpfctl = require "spec.support.bpfctl"
local files = require "spec.support.files"

local daemon = {}
daemon.__index = daemon

local BUILD <const> = os.getenv "BUILD" or uv.cwd() .. "/build"
local made = 0

local function read(path)
  local file <close> = io.open(path)
  return file and file:read "a" or ""
end

-- Whether this very process listens: a job of one that was killed may hold its socket for a moment.
local function answers(self)
  local connected <close> = core.socket.connect(self.socket, 1)
  local peer = connected and connected:peer()
  return peer ~= nil and peer.pid == self.pid
end

---@class daemon.options
---@field namespace? table   where it runs (spec.support.namespace); this process's when left out
---@field config? string|fun(directory: string): string  text of its bpfd.lua
---@field policies? table<string, string>  files of its policy.d
---@field declarations? table<string, string>  files of its programs.d
---@field prefix? string     how its directory's name begins
---@field env? table
---@field state_dir? string   in its directory when left out
---@field log_level? string   debug when left out

---One that does not run yet; `begin` starts it.
---@param options? daemon.options  looked at then
function daemon.new(options)
  return setmetatable({ options = options or {} }, daemon)
end

---Starts a daemon and waits until it answers.
---@param options? daemon.options
function daemon.start(options)
  local self = daemon.new(options)
  self:begin()
  return self
end

---Makes its directories, new ones each time, and starts it.
function daemon:begin()
  made = made + 1
  local options <const> = self.options
  local directory <const> =
    ("/tmp/%s-%d-%d"):format(options.prefix or "bpfd-spec", uv.os_getpid(), made)
  assert(uv.fs_mkdir(directory, tonumber("755", 8)))
  self.directory, self.run_dir = directory, directory .. "/run"
  self.state_dir = options.state_dir or directory .. "/state"
  self.config, self.log = directory .. "/bpfd.lua", directory .. "/log"
  self.socket = self.run_dir .. "/bpfd.sock"
  local config <const> = options.config or "return {}\n"
  for name, text in pairs(options.declarations or {}) do self:declaration(name, text) end
  files.write(self.config, type(config) == "function" and config(directory) or config)
  for name, text in pairs(options.policies or {}) do self:policy(name, text) end
  self:restart()
end

local function put(self, place, name, text)
  local directory <const> = self.directory .. "/" .. place
  local path <const> = directory .. "/" .. name
  uv.fs_mkdir(directory, tonumber("755", 8))
  if text then files.write(path, text) else os.remove(path) end
end

---Writes a file of its policy.d, or takes it away where there is no text.
function daemon:policy(name, text) put(self, "policy.d", name, text) end

---The same of its programs.d.
function daemon:declaration(name, text) put(self, "programs.d", name, text) end

---Starts it again with the same directories.
function daemon:restart()
  assert(not self.process or not self.process:alive(), "it still runs")
  local arguments = { BUILD .. "/bpfd", "--config", self.config, "--run-dir", self.run_dir,
    "--state-dir", self.state_dir,
    "--log-level", self.options.log_level or "debug" }
  local namespace = self.options.namespace
  if namespace then arguments = namespace:inside(arguments) end
  self.process = process.start(arguments, { output = self.log, env = self.options.env })
  self.pid = self.process.pid
  process.eventually(function()
    return not self.process:alive() or answers(self)
  end, 20000)
  if not self.process:alive() or not answers(self) then
    self.process:signal "sigkill"
    error("bpfd does not start:\n" .. self:log_text(), 2)
  end
end

function daemon:log_text()
  return read(self.log)
end

---SIGKILL, as a crash would be.
function daemon:kill()
  self.process:signal "sigkill"
  return self.process:wait()
end

---Its children that are at work, not those that wait for their next job.
---@return integer[] pids
function daemon:working()
  local pids = {}
  for pid, name in pairs(process.children(self.pid)) do
    if name ~= "bpfd-idle" then pids[#pids + 1] = pid end
  end
  return pids
end

---Kills the jobs that it has under way; returns whether there were any.
---@param signal? string  "sigkill" when left out
---@return boolean
function daemon:kill_jobs(signal)
  local any = false
  for _, pid in ipairs(self:working()) do any = uv.kill(pid, signal or "sigkill") == 0 or any end
  return any
end

---SIGTERM; returns its exit status.
function daemon:stop()
  self.process:signal "sigterm"
  return (assert(self.process:wait(), "bpfd does not stop"))
end

-- Filters of a qdisc need no pin to live, and a reboot to end.
local function end_filters(namespace)
  for line in (namespace and namespace:check { "tc", "qdisc", "show" } or ""):gmatch "[^\n]+" do
    local iface <const> = line:match "^qdisc clsact .* dev (%S+)"
    if iface then namespace:check { "tc", "qdisc", "del", "dev", iface, "clsact" } end
  end
end

---As far as a reboot can be had without one: the daemon ends, and its bpffs with all that runs and
---its run directory are gone. The index says that it is of another boot.
---@param options? { kill: boolean? }
function daemon:end_boot(options)
  if options and options.kill then self:kill() else self:stop() end
  process.check { "umount", "-l", self.run_dir .. "/fs" }
  process.check { "rm", "-rf", "--one-file-system", self.run_dir }
  end_filters(self.options.namespace)
  local index <close> = assert(require "bpfd_database".open(self.state_dir .. "/bpfd.db", 500))
  for _, name in ipairs { "programs", "chains", "declarations" } do
    assert(index:execute("UPDATE " .. name .. " SET boot_id = 'the one before'"))
  end
end

---Runs `bpfctl ...` against it.
---@return process.result
function daemon:bpfctl(...)
  return bpfctl.run(self, { ... })
end

---Runs `bpfctl ...`, which must succeed; returns what it printed.
---@return string stdout
function daemon:check(...)
  local result = self:bpfctl(...)
  if result.exit ~= 0 then
    error(("bpfctl %s: exit %d\n%s%s"):format(table.concat({ ... }, " "), result.exit,
      result.stdout, result.stderr), 2)
  end
  return result.stdout
end

---Loads with -q.
---@return string id
function daemon:load(...)
  return (self:check("-q", "load-from-file", ...):match "^(%d+)\n$")
end

---What `bpfctl get ID -o json` or `bpfctl list -o json` says, as a table.
function daemon:json(...)
  return (assert(dkjson.decode(self:check("-o", "json", ...))))
end

---The u64 in slot `index` of one of a program's array maps, through its pin.
---@return integer
function daemon:counter(id, map_name, index)
  local path = ("%s/fs/maps/%s/%s"):format(self.run_dir, id, map_name)
  local map <close> = assert(bpf.map.open_pin(path))
  return (string.unpack("<I8", assert(map:lookup(string.pack("<I4", index or 0)))))
end

---Stops it and takes away all that it has made, as far as it came.
function daemon:close()
  if not self.directory then return end
  if self.process and self.process:alive() then self:stop() end
  process.run { "umount", "-l", self.run_dir .. "/fs" }
  process.check { "rm", "-rf", "--one-file-system", self.directory }
end
daemon.__close = daemon.close

return daemon
