-- The declarations of programs.d: read at the start and at a reload, each applied for itself. They
-- are run in a job, so that no file can hold up or harm the daemon.

local core = require "bpf.core"
local declaration = require "bpf.declaration"
local declared_sources = require "bpfd.declared_sources"
local error_object = require "bpf.error"
local job = require "bpfd.job"
local json = require "bpf.json"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local loop = require "bpfd.loop"
local own_request = require "bpfd.own_request"
local trusted_file = require "bpf.trusted_file"

local declared_files = {}
declared_files.__index = declared_files

local LARGEST <const> = 1 << 20     -- bytes of a file
local OTHERS_WRITE <const> = 16 | 2 -- of the mode: group, others

---@class bpfd.declared_file
---@field name string
---@field programs string?  JSON, as a client would send it
---@field problem string?   why it is not in force; what was applied before is
---@field under_way ("applying" | "pulling")?  its turn comes; its images are being asked for

---@param daemon table
---@param directory string
function declared_files.new(daemon, directory)
  return setmetatable({ daemon = daemon, directory = directory, files = {}, by_name = {},
    pulls = 0 }, declared_files)
end

-- As bpfctl sends paths: absolute, relative ones beside the file.
local function complete_paths(entries, directory)
  for _, entry in ipairs(entries) do
    if entry.path and entry.path:sub(1, 1) ~= "/" then
      entry.path = directory .. "/" .. entry.path
    end
    local target <const> = entry.attach.target
    if target and target:find("/", 1, true) and target:sub(1, 1) ~= "/" then
      entry.attach.target = directory .. "/" .. target
    end
  end
  return entries
end

local function said(err)
  return err.advice and ("%s; %s"):format(tostring(err), err.advice) or tostring(err)
end

local function read_one(directory, name)
  local path <const> = directory .. "/" .. name
  local text, err = trusted_file.read(path, { largest = LARGEST, others = OTHERS_WRITE })
  local entries
  if text then entries, err = declaration.read(text, path) end
  if not entries then return { name = name, problem = said(err) } end
  return { name = name, programs = json.encode(complete_paths(entries, directory)) }
end

-- In a job.
local function read_all(directory)
  local facts, err = core.system.facts(directory .. "/.")
  if not facts then
    if err.code == "ENOENT" then return { missing = true } end
    return nil, err
  end
  local why, advice = trusted_file.danger(facts, directory, OTHERS_WRITE)
  if why then
    return nil, error_object.new { code = "EPERM", message = why, advice = advice }
  end
  local names
  names, err = core.system.list(directory)
  if not names then return nil, err end
  table.sort(names)
  local files = {}
  for _, name in ipairs(names) do
    if name:find "^[^.].*%.lua$" then files[#files + 1] = read_one(directory, name) end
  end
  return { files = files }
end

-- Told once, however often it is tried again.
local function fail(file, err)
  local problem <const> = said(err)
  if file.problem ~= problem then log.error("%s is not applied: %s", file.name, problem) end
  file.problem = problem
end

local function wanted_of(self, file, entries)
  return { name = file.name, programs = entries, prune = true, absent = true,
    file = self.directory .. "/" .. file.name,
    is_stale = function() return self.by_name[file.name] ~= file end }
end

local function apply(self, file, offline)
  local entries, err = declared_sources.read(file.name, json.decode(file.programs))
  if not entries then return nil, err end
  local wanted <const> = wanted_of(self, file, entries)
  wanted.offline = offline
  local changes
  changes, err = declared_sources.apply(self.daemon, own_request.new "declaration.apply", wanted)
  return changes, err
end

-- Registries may be slow, or not be reached yet: others do not wait for them.
local function pull(self, file)
  file.under_way = "pulling"
  self.pulls = self.pulls + 1
  loop.spawn(function()
    local at_end <close> = setmetatable({}, { -- luacheck: ignore at_end
      __close = function()
        file.under_way = nil
        self.pulls = self.pulls - 1
        self.daemon.boot:look_again()
      end,
    })
    local good, err = apply(self, file, false)
    if good then file.problem = nil else fail(file, err) end
  end)
end

local function put_in_force(self, file)
  if not file.programs or file.under_way == "pulling" then return end
  local good, err = apply(self, file, true)
  file.under_way = nil
  if good then
    file.problem = nil
  elseif err.code == "ENODATA" then
    pull(self, file)
  else
    fail(file, err)
  end
end

-- What a file had declared goes with it.
local function end_removed(self)
  local store <const> = self.daemon.store
  for _, name in ipairs(store:declarations()) do
    local declared <const> = store:declaration(name)
    if declared.file and not self.by_name[name] then
      local done, err = declared_sources.apply(self.daemon, own_request.new "declaration.apply",
        { name = name, programs = {}, prune = true })
      if done then
        log.info("%s is gone, and what it declared is unloaded", declared.file)
      else
        log.error("%s is gone, and what it declared cannot be unloaded: %s", declared.file,
          tostring(err))
      end
    end
  end
end

local function read(self)
  local directory <const> = self.directory
  local found, err = job.run(function() return read_all(directory) end)
  if found and not found.missing then
    self.problem, self.is_unread = nil, nil
    return found.files
  end
  -- nothing that runs is unloaded because a directory is not to be seen
  local problem <const> = err and said(err) or nil
  if err and self.problem ~= problem then log.error("%s is not read: %s", directory, problem) end
  self.problem, self.is_unread = problem, err and err.code ~= "EPERM" or nil
  return nil
end

--- Reads all and applies what can be, in the order of the names; in a task.
function declared_files:run()
  local held <close> = lock.hold { "programs.d" } -- luacheck: ignore held
  local files <const> = read(self)
  self.was_read = true
  if not files then return end
  self.files, self.by_name = files, {}
  for _, file in ipairs(files) do
    self.by_name[file.name] = file
    if file.programs then file.under_way = "applying" end
    if file.problem then log.error("%s is not applied: %s", file.name, file.problem) end
  end
  end_removed(self)
  for _, file in ipairs(files) do put_in_force(self, file) end
  self.daemon.objects:drop_unused(self.daemon)
end

--- Tries what has failed again, as it was read; or reads what could not be read.
function declared_files:try_again()
  if self.is_unread then return self:run() end
  local held <close> = lock.hold { "programs.d" } -- luacheck: ignore held
  for _, file in ipairs(self.files) do
    if file.problem then put_in_force(self, file) end
  end
end

--- Whether a declaration may yet be applied, or applied again.
---@param name string
---@return boolean
function declared_files:is_expected(name)
  local file <const> = self.by_name[name]
  return not self.was_read or file ~= nil and (file.problem ~= nil or file.under_way ~= nil)
end

--- Whether something has failed that may succeed without the file being changed.
---@return boolean
function declared_files:may_succeed()
  if self.is_unread then return true end
  for _, file in ipairs(self.files) do
    if file.problem and file.programs and not file.under_way then return true end
  end
  return false
end

return declared_files
