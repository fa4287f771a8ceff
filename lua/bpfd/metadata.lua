-- Metadata in requests: what is given to a program, and what programs are chosen by.

local error_object = require "bpf.error"
local selector = require "bpf.selector"

local metadata = {}

local function refusal(message)
  return nil, error_object.new { code = "EINVAL", message = message }
end

--- A table of texts, as metadata and globals are.
---@param value any
---@param name string  of the parameter
---@return table<string, string>? copy, bpf.error? err
function metadata.texts(value, name)
  if value == nil then return {} end
  if type(value) ~= "table" then return refusal(name .. " must be an object") end
  local copy = {}
  for key, text in pairs(value) do
    if type(key) ~= "string" or type(text) ~= "string" then
      return refusal(name .. " must be an object of texts")
    end
    copy[key] = text
  end
  return copy
end

--- The test of metadata that `metadata` and `selector` ask for; nil when they ask for nothing.
---@param params { metadata: table?, selector: string? }
---@return (fun(metadata: table<string, string>): boolean)? matches, bpf.error? err
function metadata.filter(params)
  local wanted, err = metadata.texts(params.metadata, "metadata")
  if not wanted then return nil, err end
  if params.selector == nil and next(wanted) == nil then return nil end
  local selects = function() return true end
  if params.selector ~= nil then
    if type(params.selector) ~= "string" then return refusal "selector must be a text" end
    selects, err = selector.parse(params.selector)
    if not selects then return nil, err end
  end
  return function(of_program)
    for key, value in pairs(wanted) do
      if of_program[key] ~= value then return false end
    end
    return selects(of_program)
  end
end

return metadata
