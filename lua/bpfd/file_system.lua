-- The daemon's own bpffs: mounted where the host sees it, and put back should somebody unmount it.

local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"
local log = require "bpfd.log"
local loop = require "bpfd.loop"

local LOOK <const> = 1 -- seconds between two looks

local file_system = {}
file_system.__index = file_system

-- A mount in a private mount namespace goes away with the service, and every pin with it. Process 1
-- lives in the host's; its list of mounts can be read where its root directory cannot.
local function is_in_host_namespace(path)
  local facts = core.system.facts(path .. "/.")
  local mounts <close> = io.open "/proc/1/mountinfo"
  if not facts or not mounts then return true end
  local device <const> = (" %d:%d "):format(core.system.device_numbers(facts.device))
  for line in mounts:lines() do
    if line:find(device, 1, true) then return true end
  end
  return false
end

-- Everybody may look; what is inside has rights of its own.
local function make_rooms(path)
  local mode <const> = tonumber("755", 8)
  local good, err = core.system.set_access(path, mode)
  for _, name in ipairs { "programs", "maps", "chains", "staging" } do
    if good then good, err = core.system.make_directory(path .. "/" .. name, mode) end
    if not good and err.code == "EEXIST" then good = true end
  end
  return good, err
end

--- Mounts a bpffs unless there is one, and makes sure that it outlives the daemon.
---@param path string
---@return table? file_system, bpf.error? err
function file_system.open(path)
  local good, err = core.system.make_directory(path, tonumber("755", 8))
  if not good and err.code ~= "EEXIST" then return nil, err end
  good, err = bpf.pin.is_bpffs(path)
  -- over one that only does not tell, a second one would hide all that is pinned
  if good == nil then return nil, err:because "looking for the bpffs" end
  if not good then good, err = bpf.pin.mount_bpffs(path) end
  if good then good, err = make_rooms(path) end
  if not good then return nil, err end
  if not is_in_host_namespace(path) then
    return nil, error_object.new { code = "EXDEV",
      message = path .. " is in a mount namespace that ends with bpfd, and everything with it",
      advice = "mount a bpffs there in the host's namespace before bpfd starts" }
  end
  local self = setmetatable({ path = path }, file_system)
  self:keep()
  self.timer = loop.after(LOOK, function() self:mend() end, true)
  return self
end

-- A detached mount of the same file system keeps all pins alive, whoever unmounts the visible one.
function file_system:keep()
  local spare, err = core.system.detached_mount(self.path)
  if not spare then log.info("an unmounted bpffs could not be put back: %s", tostring(err)) end
  self.spare = spare
end

---@return boolean
function file_system:is_mounted() return bpf.pin.is_bpffs(self.path) ~= false end

--- Puts the file system back if it is gone.
---@return true? ok, bpf.error? err
function file_system:mend()
  if self:is_mounted() then return true end
  if not self.spare then
    return nil, error_object.new { code = "ENOENT", message = "there is no other mount of it" }
  end
  local good, err = core.system.place_mount(self.spare, self.path)
  if not good then
    log.error("%s is unmounted: %s", self.path, tostring(err))
    return nil, err
  end
  log.warning("%s was unmounted; it is back with all that is pinned in it", self.path)
  self.spare:close()
  self:keep()
  return true
end

--- What is pinned stays.
function file_system:close()
  self.timer:close()
  if self.spare then self.spare:close() end
end

return file_system
