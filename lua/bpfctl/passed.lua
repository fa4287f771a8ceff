-- Files that the client opens with its own rights and passes to the daemon.

local system = require("bpf.core").system
local error_object = require "bpf.error"

---@class bpfctl.passed
---@field descriptors table
local passed = {}
local metatable = { __index = passed }

function metatable:__close()
  for _, descriptor in ipairs(self.descriptors) do descriptor:close() end
end

local function new()
  return setmetatable({ descriptors = {}, known = {} }, metatable)
end

-- The place of a file; one that is open already is not passed twice.
local function place_of(self, descriptor, facts)
  local identity <const> = ("%d:%d"):format(facts.device, facts.inode)
  if self.known[identity] then
    descriptor:close()
  else
    table.insert(self.descriptors, descriptor)
    self.known[identity] = #self.descriptors - 1
  end
  return self.known[identity]
end

--- Opens a plain file. Namespaces are plain files to the kernel.
---@param path string
---@param role string  what it is to be, with its article
---@return integer? place   by which the request names it
---@return bpf.error?
function passed:open(path, role)
  local descriptor, err = system.open(path)
  if not descriptor then return nil, err end
  local facts
  facts, err = system.facts(descriptor)
  if not facts or facts.kind ~= "file" then descriptor:close() end
  if not facts then return nil, err end
  if facts.kind ~= "file" then
    return nil, error_object.new {
      code = "EINVAL", message = ("%s is a %s, not %s"):format(path, facts.kind, role),
    }
  end
  return place_of(self, descriptor, facts)
end

-- A uprobe's target: the file is looked for here, opened by us and probed by the daemon. Inside a
-- container only the daemon can look.
local function open_target(self, attach)
  if attach.container_pid then return true end
  local path, err = require("bpf.library").find(attach.target)
  if not path then return nil, err end
  attach.target_fd, err = self:open(path, "a program or library")
  return attach.target_fd, err
end

local function open_namespace(self, attach)
  if not attach.netns:find("/", 1, true) then attach.netns = "/run/netns/" .. attach.netns end
  local err
  attach.netns_fd, err = self:open(attach.netns, "a network namespace")
  return attach.netns_fd, err
end

--- Opens what an attach table names, and writes into it how the request names that.
---@param attach table
---@return true? ok, bpf.error? err
function passed:open_attach(attach)
  local good, err = true, nil
  if attach.netns then good, err = open_namespace(self, attach) end
  if good and attach.target then good, err = open_target(self, attach) end
  return good and true, err
end

return { new = new }
