-- A program that is to be loaded, as a job needs it: what was named is looked up, files are open.

local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"
local files = require "bpfd.files"

local addition = {}

local function note_of(daemon, wish)
  return {
    name = wish.name, type = wish.attach.type, attach = wish.attach, metadata = wish.metadata,
    map_owner_id = wish.map_owner_id, persist = wish.persist, label = wish.label,
    declared_by = wish.declared_by, path = wish.path, loaded_at = core.system.clock(),
    boot_id = daemon.store.boot_id,
  }
end

--- What the engines want to know of an interface.
---@param settings table  of the configuration
function addition.engine_options(settings)
  return { tc_end = settings.tc_end }
end

-- Interfaces of other namespaces are looked up by the job, which enters them.
local function look_up_interface(daemon, self, attach)
  if not attach.iface then return true end
  self.settings = daemon.config:interface(attach.iface)
  self.engine_options = addition.engine_options(self.settings)
  if self.netns then return true end
  attach.ifindex = bpf.network.index(attach.iface)
  if attach.ifindex then return true end
  return nil, error_object.new { code = "ENODEV",
    message = "there is no interface " .. attach.iface }
end

-- Where the object comes from: the wish's image, or the file that `named` names.
local function look_up_source(daemon, self, request, wish, named)
  if wish.image then
    self.image, self.path = {}, wish.image.url
    for key, value in pairs(wish.image) do
      if key ~= "credentials" then self.image[key] = value end -- a load asks no registry
    end
    return true
  end
  self.source, self.path = files.object(daemon, request, named)
  if not self.source then return nil, self.path end
  wish.path = self.path
  return true
end

--- The object is the image's, or in the file that `named` names by fd or path.
---@param daemon table
---@param request table
---@param wish table    name, attach (checked), global, metadata, map_owner_id, persist, label,
---  declared_by; image (bpfd.image_wish), which may know the name
---@param named { fd: integer?, path: string? }
---@return bpfd.addition? addition, bpf.error? err
function addition.prepare(daemon, request, wish, named)
  local attach <const> = wish.attach
  local self = { name = wish.name, global = wish.global,
    size_limit = daemon.config.images.object_size }
  local found, err = look_up_source(daemon, self, request, wish, named)
  if not found then return nil, err end
  self.target, err = files.target(request, attach)
  if err then return nil, err end
  self.netns, err = files.netns(request, attach)
  if err then return nil, err end
  local good
  good, err = look_up_interface(daemon, self, attach)
  if not good then return nil, err end
  self.note = note_of(daemon, wish)
  return self
end

return addition
