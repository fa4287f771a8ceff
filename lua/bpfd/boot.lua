-- What runs again after a boot without anybody asking: persisted programs, persisted parts of
-- declarations, and programs.d. At the start it is waited for, but not for ever; what could not be
-- had is tried again.

local declarations = require "bpfd.declarations"
local declared_files = require "bpfd.declared_files"
local declared_sources = require "bpfd.declared_sources"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local loop = require "bpfd.loop"
local own_request = require "bpfd.own_request"
local restoring = require "bpfd.restoring"

local boot = {}
boot.__index = boot

local LOADS <const>, PULLS <const> = 30, 3           -- seconds that the start waits for them
local FIRST_RETRY <const>, LAST_RETRY <const> = 2, 60 -- seconds

---@param daemon table
function boot.new(daemon)
  return setmetatable({ daemon = daemon, restoring = restoring.new(daemon), problems = {},
    files = declared_files.new(daemon, daemon.config.directory .. "/programs.d"),
    retry_after = FIRST_RETRY }, boot)
end

local function apply_awaited(self, name, declared)
  local request <const> = own_request.new("declaration.apply", declared.peer)
  local entries, err = declared_sources.reopen(self.daemon, own_request.new "declaration.apply",
    name, declared.programs)
  local good
  if entries then
    good, err = declarations.apply(self.daemon, request,
      { name = name, programs = entries, absent = true })
  end
  declared_sources.close(declared.programs)
  local problem <const> = not good and tostring(err) or nil
  if problem and self.problems[name] ~= problem then
    log.error("%s cannot be applied again: %s", name, problem)
  end
  self.problems[name] = problem
end

local function apply_all_awaited(self)
  local held <close> = lock.hold { "awaited declarations" } -- luacheck: ignore held
  local store <const> = self.daemon.store
  for _, name in ipairs(store:declarations()) do
    local declared <const> = store:declaration(name)
    if declared and declared.awaited then apply_awaited(self, name, declared) end
  end
end

local function is_all_well(self, restored)
  return restored and next(self.problems) == nil and not self.files:may_succeed()
end

-- All that waits or has failed, once more.
local function plan_retry(self)
  if self.retry then return end
  self.retry = loop.after(self.retry_after, function()
    self.retry = nil
    self.retry_after = math.min(self.retry_after * 2, LAST_RETRY)
    loop.spawn(function()
      apply_all_awaited(self)
      self.files:try_again()
      if not is_all_well(self, self.restoring:run()) then plan_retry(self) end
    end)
  end)
end

-- A persisted program may share the maps of one that a file declares, so files come between.
local function load_all(self)
  local held <close> = lock.hold { "boot" } -- luacheck: ignore held
  apply_all_awaited(self)
  self.restoring:run()
  self.files:run()
  local restored <const> = self.restoring:run { only_waiting = true }
  self.retry_after = FIRST_RETRY
  if not is_all_well(self, restored) then plan_retry(self) end
end

-- What waits, when something has come; one after the other.
local function look(self)
  if self.looking then return end
  self.looking = true
  loop.spawn(function()
    local at_end <close> = setmetatable({}, { -- luacheck: ignore at_end
      __close = function() self.looking = false end,
    })
    while self.has_come do
      self.has_come = false
      apply_all_awaited(self)
      local restored <const> = self.restoring:run { only_waiting = true }
      if not is_all_well(self, restored) then plan_retry(self) end
    end
  end)
end

-- Waits for an end that `self.go_on` tells, or for so many seconds.
local function wait(self, seconds, what)
  loop.wait(function(resume)
    local timer
    function self.go_on()
      self.go_on = nil
      timer:close()
      resume()
    end
    timer = loop.after(seconds, function()
      log.warning("%s take more than %d seconds; they go on meanwhile", what, seconds)
      self.go_on()
    end)
  end)
end

--- Loads everything, in a task, and waits for the end: half a minute for loads, some seconds for
--- pulls, which others may hold up. What takes longer goes on behind it.
function boot:start()
  loop.spawn(function()
    local at_end <close> = setmetatable({}, { -- luacheck: ignore at_end
      __close = function()
        self.is_through = true
        look(self)
        if self.go_on then self.go_on() end
      end,
    })
    load_all(self)
  end)
  if not self.is_through then wait(self, LOADS, "loads") end
  if self.is_through and self.files.pulls > 0 then wait(self, PULLS, "pulls of images") end
end

--- Something has come that what waits may have waited for.
function boot:look_again()
  self.has_come = true
  if not self.is_through then return end
  look(self)
  if self.go_on and self.files.pulls == 0 then self.go_on() end
end

--- Reads programs.d anew and tries everything that waits; in a task.
function boot:reload() load_all(self) end

--- Why a declaration of an earlier boot could not be applied again.
---@return string?
function boot:problem_of(name) return self.problems[name] end

function boot:close()
  if self.retry then self.retry:close() end
end

return boot
