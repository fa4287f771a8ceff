-- Selectors over metadata: owner=acme, zone!=b, tier in (web, edge), !retired. Commas mean and.

local lpeg = require "lpeg"

local error_object = require "bpf.error"

local P <const>, S <const>, C <const>, Cc <const>, Ct <const>, Cg <const>, Cp <const> =
  lpeg.P, lpeg.S, lpeg.C, lpeg.Cc, lpeg.Ct, lpeg.Cg, lpeg.Cp

local space <const> = S " \t" ^ 0
local function token(pattern) return pattern * space end

local word <const> = token(C((1 - S " \t,=!()") ^ 1))
local equals <const> = token(P "==" + "=") * Cg(Cc "in", "test")
local differs <const> = token(P "!=") * Cg(Cc "notin", "test")
-- A word that only begins like an operator is none: `in` needs its parenthesis.
local one_of <const> = token(P "in") * #P "(" * Cg(Cc "in", "test")
local none_of <const> = token(P "notin") * #P "(" * Cg(Cc "notin", "test")
local list <const> = token(P "(") * Ct(word * (token(P ",") * word) ^ 0) * token(P ")")

local key <const> = Cg(word, "key")
local requirement <const> = Ct(
  token(P "!") * key * Cg(Cc "absent", "test")
  + key * (equals + differs) * Cg(Ct(word), "values")
  + key * (one_of + none_of) * Cg(list, "values")
  + key * Cg(Cc "present", "test"))
local grammar <const> =
  space * Ct(requirement * (token(P ",") * requirement) ^ 0) * Cp()

local selector = {}

local function contains(values, value)
  for _, each in ipairs(values) do
    if each == value then return true end
  end
  return false
end

-- A key that is absent differs from every value.
local tests = {
  present = function(value) return value ~= nil end,
  absent = function(value) return value == nil end,
  ["in"] = function(value, values) return value ~= nil and contains(values, value) end,
  notin = function(value, values) return value == nil or not contains(values, value) end,
}

--- Reads a selector.
---@param text string
---@return (fun(metadata: table<string, string>): boolean)? matches
---@return bpf.error?
function selector.parse(text)
  local requirements, stop = grammar:match(text)
  if not requirements or stop <= #text then
    local rest <const> = text:sub(stop or 1)
    return nil, error_object.new {
      code = "EINVAL",
      message = ("cannot read the selector '%s' from '%s' on"):format(text, rest),
      advice = "KEY=VALUE, KEY!=VALUE, KEY in (A, B), KEY notin (A, B), KEY, !KEY; "
        .. "with commas between them all must hold",
    }
  end
  return function(metadata)
    for _, each in ipairs(requirements) do
      if not tests[each.test](metadata[each.key], each.values) then return false end
    end
    return true
  end
end

return selector
