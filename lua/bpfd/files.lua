-- What a request names: object files, targets and namespaces, by descriptor or by path.

local core = require "bpf.core"
local error_object = require "bpf.error"

local system <const> = core.system

local files = {}

local function refusal(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

-- Opens a regular file without touching what is none: a FIFO would wait, a device might act.
local function open_regular(path)
  local found <close>, err = system.open(path, "path")
  if not found then return nil, err end
  local facts = system.facts(found)
  if not facts or facts.kind ~= "file" then
    return refusal("EINVAL", ("%s is no regular file"):format(path))
  end
  return system.open("/proc/self/fd/" .. found:fd())
end

-- Whether the kernel's path of the file is under one of the directories, links resolved on both
-- sides.
local function is_under(path, directories)
  for _, directory in ipairs(directories) do
    local opened <close> = system.open(directory, "directory")
    local real = opened and system.path_of(opened)
    if real and path:sub(1, #real + 1) == real .. "/" then return true end
  end
  return false
end

local function by_path(daemon, request, path)
  if type(path) ~= "string" or path:sub(1, 1) ~= "/" or path:find("\0", 1, true) then
    return refusal("EINVAL", "path must be an absolute path")
  end
  local file, err = open_regular(path)
  local may_see = request.peer.uid == 0
  if file and not may_see then
    may_see = is_under(system.path_of(file), daemon.config.object_dirs)
  end
  if may_see then return file, err end
  return refusal("EACCES", ("only root may name %s by path"):format(path),
    "pass it as a descriptor, or ask for a directory among object_dirs")
end

--- The object file of a request, and the kernel's word for where it is.
---@param params { fd: integer?, path: string? }  what names it
---@return table? descriptor, string|bpf.error path_or_err
function files.object(daemon, request, params)
  local file, err
  if params.fd ~= nil then
    if params.path ~= nil then return refusal("EINVAL", "fd and path exclude each other") end
    file, err = request:descriptor(params.fd)
  elseif params.path ~= nil then
    file, err = by_path(daemon, request, params.path)
  else
    return refusal("EINVAL", "an object file is missing: neither fd nor path")
  end
  if not file then return nil, err end
  local path
  path, err = system.path_of(file)
  if not path then return nil, err end
  return file, path
end

-- A library's short name stays what the user calls it, if the file is one of that name.
local function target_name(target, path)
  local base <const> = path:match "[^/]*$"
  if not target:find("/", 1, true) and (base == target or base:sub(1, #target + 1) == target .. "."
      or base:sub(1, #target + 1) == target .. "-") then
    return target
  end
  return path
end

--- The file that a uprobe is put on. Nil where the job is to find it by name.
---@return table|false|nil descriptor, bpf.error? err
function files.target(request, attach)
  if attach.target_fd == nil then
    if attach.type == "uprobe" and request.peer.uid ~= 0 then
      return refusal("EACCES", "only root may name a target by path",
        "pass it as a descriptor (target_fd)")
    end
    return false
  end
  local file, err = request:descriptor(attach.target_fd)
  if not file then return nil, err end
  attach.target_fd = nil
  local facts = system.facts(file)
  if not facts or facts.kind ~= "file" then
    return refusal("EINVAL", ("the target %s is no regular file"):format(attach.target))
  end
  attach.target = target_name(attach.target, system.path_of(file) or attach.target)
  return file
end

local function is_same(facts, others)
  return facts.inode == others.inode and facts.device == others.device
end

-- The kernel's word or, where that is no path (net:[4026532008]), the client's if it leads there.
local function netns_path(netns, asked)
  local path, err = system.path_of(netns)
  if not path then return nil, err end
  if path:sub(1, 1) == "/" or not asked or asked:sub(1, 1) ~= "/" then return path end
  local found <close> = system.open(asked, "path")
  local facts <const> = found and system.facts(found)
  return facts and is_same(facts, system.facts(netns)) and asked or path
end

local function open_netns(request, attach)
  if attach.netns_fd ~= nil then return request:descriptor(attach.netns_fd) end
  if request.peer.uid ~= 0 then
    return refusal("EACCES", "only root may name a network namespace by path",
      "pass it as a descriptor (netns_fd)")
  end
  local name <const> = attach.netns
  return system.open(name:find("/", 1, true) and name or "/run/netns/" .. name)
end

--- The network namespace of a request; false for the daemon's own.
---@return table|false|nil descriptor, bpf.error? err
function files.netns(request, attach)
  if attach.netns_fd == nil and attach.netns == nil then return false end
  local netns, err = open_netns(request, attach)
  if not netns then return nil, err end
  attach.netns_fd = nil
  local own <close> = assert(system.open "/proc/self/ns/net")
  local own_facts, facts = system.facts(own), system.facts(netns)
  if facts and is_same(facts, own_facts) then
    attach.netns = nil
    return false
  end
  attach.netns, err = netns_path(netns, attach.netns)
  if not attach.netns then return nil, err end
  return netns
end

return files
