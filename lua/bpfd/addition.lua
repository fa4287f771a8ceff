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
    declared_by = wish.declared_by, pattern = wish.pattern, path = wish.path,
    persisted = wish.persisted, peer = wish.peer,
    loaded_at = core.system.clock(),
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

---@class bpfd.addition_files
---@field source table|string|nil  descriptor of the object file, or its path
---@field image bpfd.image_wish?   that it is in
---@field path string              what it is called
---@field target table|false|nil
---@field netns table|false|nil

-- A load asks no registry, and its process can be told what is plain (bpfd.portable).
local function plain_wish(image)
  local copy = {}
  for key, value in pairs(image) do copy[key] = value end
  copy.credentials, copy.reference = nil, nil
  return copy
end

--- Opens what a request names for one program; paths in `attach` become the kernel's.
---@param attach table
---@param named { fd: integer?, path: string? }  the object file
---@param image bpfd.image_wish?  that it is in instead
---@return bpfd.addition_files? files, bpf.error? err
function addition.open_files(daemon, request, attach, named, image)
  local opened, err = {}
  if image then
    opened.image, opened.path = plain_wish(image), image.url
  else
    opened.source, opened.path = files.object(daemon, request, named)
    if not opened.source then return nil, opened.path end
  end
  opened.target, err = files.target(request, attach)
  if err then return nil, err end
  opened.netns, err = files.netns(request, attach)
  if err then return nil, err end
  return opened
end

--- The addition of what is wished.
---@param daemon table
---@param wish table    name, attach (checked), global, metadata, map_owner_id, persist, label,
---  declared_by, pattern; of one that comes back by itself, persisted (its number) and peer (whose)
---@param opened bpfd.addition_files
---@return bpfd.addition? addition, bpf.error? err
function addition.make(daemon, wish, opened)
  local self = { name = wish.name, global = wish.global,
    size_limit = daemon.config.images.object_size }
  for key, value in pairs(opened) do self[key] = value end
  local good, err = look_up_interface(daemon, self, wish.attach)
  if not good then return nil, err end
  wish.path = not self.image and self.path or nil
  self.note = note_of(daemon, wish)
  return self
end

--- Both of it, for a request of one program.
---@return bpfd.addition? addition, bpf.error? err
function addition.prepare(daemon, request, wish, named)
  local opened, err = addition.open_files(daemon, request, wish.attach, named, wish.image)
  if not opened then return nil, err end
  return addition.make(daemon, wish, opened)
end

return addition
