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
  return setmetatable({ descriptors = {} }, metatable)
end

--- Opens a plain file. Namespaces are plain files to the kernel.
---@param path string
---@param role string  what it is to be, with its article
---@return integer? place   by which the request names it
---@return bpf.error?
function passed:open(path, role)
  local descriptor, err = system.open(path)
  if not descriptor then return nil, err end
  self.descriptors[#self.descriptors + 1] = descriptor
  local facts
  facts, err = system.facts(descriptor)
  if not facts then return nil, err end
  if facts.kind ~= "file" then
    return nil, error_object.new {
      code = "EINVAL", message = ("%s is a %s, not %s"):format(path, facts.kind, role),
    }
  end
  return #self.descriptors - 1
end

return { new = new }
