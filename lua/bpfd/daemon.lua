-- The daemon as a whole: what it opens at its start, and how it ends.

local core = require "bpf.core"
local boot = require "bpfd.boot"
local chain_follow = require "bpfd.chain_follow"
local change = require "bpfd.change"
local database_file = require "bpfd.database_file"
local departed = require "bpfd.departed"
local directories = require "bpfd.directories"
local doctor = require "bpfd.doctor"
local file_system = require "bpfd.file_system"
local following = require "bpfd.following"
local hooks = require "bpfd.hooks"
local interfaces = require "bpfd.interfaces"
local job = require "bpfd.job"
local log = require "bpfd.log"
local loop = require "bpfd.loop"
local objects = require "bpfd.objects"
local policy = require "bpfd.policy"
local server = require "bpfd.server"
local service = require "bpfd.service"

local LAST_JOBS <const> = 20 -- seconds that a stop waits for what is under way

local TIDY <const> = 2 -- seconds without a request until the heap is made small
local KEPT_FREE <const> = 8 << 20 -- bytes of it, until then
-- Work of the collector for each 16 bytes that are allocated. By default, 100, one list of a
-- hundred programs in twenty-five did a whole sweep: 3 ms of its processor time and not 0.2 (6.18).
local COLLECTED <const> = 8

local daemon = {}
daemon.__index = daemon

local method_files <const> = {
  "program", "chain", "declaration", "map", "image", "policy", "system",
}

local function collect_methods()
  local methods = {}
  for _, name in ipairs(method_files) do
    for method, description in pairs(require("bpfd.methods." .. name)) do
      methods[method] = description
    end
  end
  return methods
end

local function read_boot_id()
  local file <close> = assert(io.open "/proc/sys/kernel/random/boot_id")
  return file:read "l"
end

local function open_parts(self, options)
  local err
  self.directories, err = directories.open(options.run_dir, options.state_dir)
  if not self.directories then return nil, err end
  job.share { self.directories.jobs_lock }
  self.run_dir, self.state_dir = self.directories.run_dir, self.directories.state_dir
  self.file_system, err = file_system.open(self.directories.fs)
  if not self.file_system then return nil, err end
  self.store, err, self.database_finding =
    database_file.open(self.directories.database, read_boot_id())
  if not self.store then return nil, err end
  self.objects, err = objects.open(self.directories.objects)
  if not self.objects then return nil, err end
  self.hooks = hooks.new(self.directories, self.store)
  self.departed = departed.new()
  self.interfaces, err = interfaces.open()
  if not self.interfaces then return nil, err end
  self.group = core.system.group_id "bpfd"
  self.policy = policy.new(self.config.directory .. "/policy.d", self.config.policy)
  self.boot = boot.new(self)
  service.go_before()
  self.privilege, err = service.confine()
  return self.privilege, err
end

local function keep_heap_quick()
  core.system.keep_free(KEPT_FREE)
  collectgarbage("incremental", 0, COLLECTED, 0)
end

-- A list of a thousand programs is a few megabytes of heap for a moment; they are given back when
-- nobody asks any more, who would wait meanwhile.
local function stay_small(self)
  local served, is_small
  return loop.after(TIDY, function()
    if served ~= self.server.served then
      served, is_small = self.server.served, false
    elseif not is_small then
      collectgarbage()
      core.system.trim()
      is_small = true
    end
  end, true)
end

-- Before the first request the index agrees with the kernel, and runs what is to run after a boot.
local function open_doors(self)
  local good, err = doctor.start(self)
  if not good then return nil, err end
  self.objects:drop_unused(self)
  self.policy:start()
  self.following = following.start(self, function() self.boot:look_again() end)
  self.boot:start()
  if self.stopping then return true end
  self.server, err = server.open {
    daemon = self, methods = collect_methods(), listen = self.config.listen,
    limits = self.config.limits, sockets = service.sockets(),
  }
  if not self.server then return nil, err end
  self.tidy = stay_small(self)
  self.hooks:watch(function(hook_name) return change.is_free(self, hook_name) end,
    function() chain_follow.catch_up(self) end)
  service.ready()
  log.info("bpfd %s serves on %s", core.system.version, self.config.listen[1].path)
  self.policy:tell("daemon.started", nil, { version = core.system.version,
    programs = self.store:count "programs" })
  return true
end

-- Policies hear of interfaces; they and programs.d are read anew on SIGHUP.
local function mind_changes(self)
  self.interfaces:subscribe(function(event)
    if event.on == "link.up" or event.on == "link.down" then
      self.policy:tell(event.on, nil, event)
    end
  end)
  loop.signal("sighup", function()
    loop.spawn(function() self:reload() end)
  end)
end

-- Jobs are forks: a module that is here already need not be loaded by each of them, and what libbpf
-- has found out about the kernel, which it does at a process's first load, not be tried again.
local function load_what_jobs_need()
  for _, name in ipairs { "chain", "link", "map", "network", "object", "pin", "program" } do
    require("bpf." .. name)
  end
  require "bpf.chain.fuse"
  require "bpf.chain.hook"
  local loaded <const> = core.freplace.open_target "xdp"
  if loaded then loaded:close() end
end

--- Opens everything that a daemon needs.
---@param options { config: table, config_path: string, run_dir: string, state_dir: string }
---@return table? daemon, bpf.error? err
function daemon.start(options)
  core.service.ignore_signals()
  core.system.raise_descriptor_limit()
  keep_heap_quick()
  load_what_jobs_need()
  local self = setmetatable({ config = options.config, config_path = options.config_path,
    unwritten = {}, started_at = core.system.clock(), started = core.system.clock "monotonic" },
    daemon)
  local good, err = open_parts(self, options)
  if good then return self end
  self:close()
  return nil, err
end

function daemon:close()
  if self.server then self.server:close() end
  if self.boot then self.boot:close() end
  if self.policy then self.policy:close() end
  if self.interfaces then self.interfaces:close() end
  if self.file_system then self.file_system:close() end
  if self.store then self.store:close() end
end

-- Takes no more requests, lets those under way end, and leaves. What is loaded keeps running.
function daemon:stop()
  if self.stopping then return end
  self.stopping = true
  log.info "stopping; what is loaded keeps running"
  service.stopping()
  if not self.server then return loop.stop() end
  self.server:stop_listening()
  job.cancel_lane("pull", "bpfd stops")
  local deadline <const> = core.system.clock "monotonic" + LAST_JOBS * 1000000000
  loop.after(0.01, function()
    if not self.server:is_busy() or core.system.clock "monotonic" > deadline then loop.stop() end
  end, true)
end

--- Reads the policies and programs.d anew, in a task. What is broken changes nothing.
---@return true? ok, bpf.error? err  of the policies
function daemon:reload()
  local good, err = self.policy:reload()
  self.boot:reload()
  return good, err
end

--- The hook of an attach table in the daemon's own namespace, if a chain is there.
---@return string? hook_name
function daemon:hook_of(attach)
  for hook_name, manifest in self.store:chains() do
    if manifest.type == attach.type and manifest.ifindex == attach.ifindex
        and manifest.direction == attach.direction and manifest.netns == attach.netns then
      return hook_name
    end
  end
  return nil
end

--- Brings the index in line with the kernel, then serves until SIGTERM or SIGINT. SIGHUP reads the
--- policies anew; no other signal ends it or does anything, but SIGKILL.
---@return true? ok, bpf.error? err
function daemon:run()
  local good, err
  for _, name in ipairs { "sigterm", "sigint" } do
    loop.signal(name, function() self:stop() end)
  end
  mind_changes(self)
  loop.spawn(function()
    good, err = loop.try(open_doors, self)
    if not good then loop.stop() end
  end)
  loop.run()
  core.service.hold_signals() -- loop.finish takes their handlers away
  self:close()
  loop.finish()
  return good, err
end

return daemon
