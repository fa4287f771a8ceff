-- The daemon's directories, its locks, and the paths of what is pinned (docs/architecture.md).

local core = require "bpf.core"
local error_object = require "bpf.error"

local system <const> = core.system

local OLD_JOBS <const> = 30 -- seconds that a new daemon waits for the jobs of the one before it
local OLD_DAEMON <const> = 3 -- and for its end

local directories = {}
directories.__index = directories

-- Makes a directory and those above it; an existing one is left as it is.
local function make(path, mode)
  if path == "" or path == "/" then return true end
  local facts = system.facts(path .. "/.")
  if facts then return true end
  local good, err = make(path:match "^(.*)/[^/]*$" or "", 493) -- 0755
  if not good then return nil, err end
  good, err = system.make_directory(path, mode)
  if not good and err.code ~= "EEXIST" then return nil, err end
  return true
end

local function absolute(path)
  if path:sub(1, 1) == "/" then return (path:gsub("/+$", "")) end
  return (("%s/%s"):format(system.path_of(assert(system.open(".", "path"))), path):gsub("/+$", ""))
end

local function in_use(directory)
  return error_object.new { code = "EBUSY", message = "another bpfd already runs in " .. directory,
    advice = "stop it first, or choose another --run-dir and --state-dir" }
end

-- Nobody else may put anything where root's sockets and locks are looked for.
local function check_owner(directory)
  local facts, err = system.facts(directory .. "/.")
  if not facts then return nil, err end
  if facts.uid == system.identity().uid and facts.mode & 2 == 0 then return true end
  return nil, error_object.new { code = "EPERM",
    message = directory .. " belongs to somebody else or is writable by everybody" }
end

-- Two daemons exclude each other by a lock on each directory. Another lock is shared with every
-- job, so that a new daemon begins when the last job of an old one has ended.
local function lock(self)
  local err
  self.daemon_lock, err = system.lock(self.run_dir .. "/daemon.lock", OLD_DAEMON)
  if not self.daemon_lock then
    if err.code ~= "EAGAIN" then return nil, err end
    return nil, in_use(self.run_dir)
  end
  self.state_lock, err = system.lock(self.state_dir .. "/daemon.lock", OLD_DAEMON)
  if not self.state_lock then
    if err.code ~= "EAGAIN" then return nil, err end
    return nil, in_use(self.state_dir)
  end
  self.jobs_lock, err = system.lock(self.run_dir .. "/jobs.lock", OLD_JOBS)
  if not self.jobs_lock then
    if err.code ~= "EAGAIN" then return nil, err end
    return nil, error_object.new { code = "EBUSY",
      message = ("a job of the bpfd before still runs in %s after %d seconds"):format(self.run_dir,
        OLD_JOBS) }
  end
  return true
end

-- The paths of what is pinned.
local function at(run_dir)
  return setmetatable({ run_dir = run_dir, fs = run_dir .. "/fs" }, directories)
end

--- Those of a daemon, as its jobs need them.
---@param run_dir string
directories.at = at

--- Makes and locks them.
---@param run_dir string
---@param state_dir string
---@return table? directories, bpf.error? err  its locks are held until the process ends
function directories.open(run_dir, state_dir)
  local self = at(absolute(run_dir))
  self.state_dir = absolute(state_dir)
  local good, err = make(self.run_dir, 493) -- 0755: what is inside has its own rights
  if good then good, err = make(self.state_dir, 448) end -- 0700
  if good then good, err = check_owner(self.run_dir) end
  if good then good, err = check_owner(self.state_dir) end
  if good then good, err = lock(self) end
  if not good then return nil, err end
  self.database = self.state_dir .. "/bpfd.db"
  self.objects = self.state_dir .. "/objects"
  return self
end

function directories:program(id) return ("%s/programs/%d"):format(self.fs, id) end

function directories:maps(id) return ("%s/maps/%d"):format(self.fs, id) end

function directories:chain(hook) return ("%s/chains/%s"):format(self.fs, hook) end

function directories:staging(pid) return ("%s/staging/%d"):format(self.fs, pid) end

return directories
