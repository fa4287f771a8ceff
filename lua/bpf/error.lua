-- Error objects: what failed, on what, why, and the log of whoever refused it.

---@class bpf.error
---@field message string   one sentence
---@field code string?     a name such as "ENOENT"
---@field doing string?    what was being done, outermost first
---@field log string?      the verifier's or libbpf's own words
---@field advice string?   what to do about it
---@field hook string?     the policy hook that decided so
local methods = {}

-- Shared with bindings/error.c, which makes such objects before or without this module.
local registry = debug.getregistry()
local metatable = registry["bpf.error"] or { __name = "bpf.error" }
registry["bpf.error"] = metatable
metatable.__index = methods

function metatable:__tostring()
  if self.doing then return self.doing .. ": " .. self.message end
  return self.message
end

local error_object = {}

local known = { message = true, code = true, doing = true, log = true, advice = true, hook = true }

---@param fields { message: string, code: string?, advice: string?, log: string?, hook: string? }
---@return bpf.error
function error_object.new(fields)
  local copy = {}
  for key, value in pairs(fields) do
    if not known[key] then error("an error object has no field " .. tostring(key), 2) end
    copy[key] = value
  end
  if type(copy.message) ~= "string" then error("an error object needs a message", 2) end
  return setmetatable(copy, metatable)
end

--- Whether something is an error object.
---@param value any
---@return boolean
function error_object.is(value)
  return getmetatable(value) == metatable
end

--- A copy that says in what course the error came up.
---@param doing string
---@return bpf.error
function methods:because(doing)
  local copy = setmetatable({}, metatable)
  for key, value in pairs(self) do copy[key] = value end
  copy.doing = self.doing and (doing .. ": " .. self.doing) or doing
  return copy
end

--- A copy with advice, for callers that know what the user can do.
---@param advice string
---@return bpf.error
function methods:with_advice(advice)
  local copy = setmetatable({}, metatable)
  for key, value in pairs(self) do copy[key] = value end
  copy.advice = advice
  return copy
end

return error_object
