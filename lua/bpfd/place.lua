-- Where a program is to run, as a job finds it: the namespace entered, the interface looked up.

local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"

local place = {}

-- A namespace by its path, if it is still the one that was meant.
local function open_netns(path)
  local netns, err = core.system.open(path)
  if not netns then return nil, err end
  return netns
end

--- Enters the namespace of an attach table; the job stays in it.
---@param attach table
---@param netns table?  descriptor of the client's
---@return true? ok, bpf.error? err
function place.enter(attach, netns)
  if not netns and not attach.netns then return true end
  local err
  if not netns then
    netns, err = open_netns(attach.netns)
    if not netns then return nil, err:because("entering the network namespace") end
  end
  return bpf.network.enter(netns:fd())
end

--- The interface's number in the namespace that the job is in.
---@param name string
---@return integer? index, bpf.error? err
function place.interface(name)
  local index = bpf.network.index(name)
  if index then return index end
  return nil, error_object.new { code = "ENODEV", message = "there is no interface " .. name }
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
