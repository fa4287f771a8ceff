-- Where a program is to run, as a job finds it: the namespace entered, the interface looked up.

local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"

local place = {}

local function enter(attach, netns)
  local good, err = bpf.network.enter(netns:fd())
  if good then return true end
  return nil, error_object.new { code = err.code,
    message = err.code == "EINVAL" and attach.netns .. " is no network namespace"
      or ("cannot enter the network namespace %s: %s"):format(attach.netns, err.message) }
end

--- Enters the namespace of an attach table; the job stays in it.
---@param attach table
---@param netns table?  descriptor of the client's
---@return true? ok, bpf.error? err
function place.enter(attach, netns)
  if netns then return enter(attach, netns) end
  if not attach.netns then return true end
  local opened <close>, err = core.system.open(attach.netns)
  if not opened then return nil, err:because("entering the network namespace") end
  return enter(attach, opened)
end

--- The interface's number in the namespace that the job is in.
---@param name string
---@return integer? index, bpf.error? err
function place.interface(name)
  local index = bpf.network.index(name)
  if index then return index end
  return nil, error_object.new { code = "ENODEV", message = "there is no interface " .. name }
end

--- Whether an interface is still the one that a program was loaded on, and not another with its
--- number. Of a program that was loaded before identities were kept, nobody knows: false.
---@param identity integer?
---@param ifindex integer
---@return boolean? is_same  nil where it cannot be told
---@return bpf.error? err
function place.is_same_interface(identity, ifindex)
  if not identity then return false end
  local now, err = bpf.network.identity(ifindex)
  if now then return now == identity end
  if err.code == "ENODEV" then return false end
  return nil, err
end

--- The hook of an attach table with its `ifindex`, by the settings of its interface.
---@param attach table
---@param settings table
---@return table? hook, bpf.error? err
function place.hook(attach, settings)
  return bpf.chain.hook {
    type = attach.type, ifindex = attach.ifindex, direction = attach.direction,
    mode = settings.xdp_mode, attach = settings.tc_attach,
  }
end

--- A hook that can only be reached by its link: its namespace or its interface is out of sight.
---@param attach table
---@return table
function place.unreachable(attach)
  return setmetatable({ type = attach.type, ifindex = 0, direction = attach.direction },
    { __index = require "bpf.chain.hook" })
end

--- Whether XDP runs in native or generic mode; nil where the interface cannot be reached.
---@param manifest table
---@param home table  descriptor of the namespace to come back to
---@return string?
function place.xdp_mode(manifest, home)
  local running
  if place.enter(manifest) then running = bpf.network.xdp(manifest.ifindex) end
  bpf.network.enter(home:fd())
  return running and running.mode
end

return place
