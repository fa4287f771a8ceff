-- What a server wants to know before it answers: WWW-Authenticate, as RFC 9110 has it.

local lpeg = require "lpeg"

local P <const>, R <const>, S <const>, C <const>, Cc <const>, Cf <const>, Cg <const>, Cs <const>,
  Ct <const> = lpeg.P, lpeg.R, lpeg.S, lpeg.C, lpeg.Cc, lpeg.Cf, lpeg.Cg, lpeg.Cs, lpeg.Ct

---@class bpf.registry.challenge
---@field scheme string                    in small letters: "bearer", "basic"
---@field parameters table<string, string> names in small letters

local blank <const> = S " \t" ^ 0
local token <const> = (R("az", "AZ", "09") + S "!#$%&'*+-.^_`|~") ^ 1
local comma <const> = (blank * ",") ^ 1 * blank

local quoted <const> = '"' * Cs((P "\\" / "" * 1 + (1 - S '"\\')) ^ 0) * '"'
local name <const> = C(token) / string.lower
local parameter <const> = Cg(name * blank * "=" * blank * (quoted + C(token)))
local parameters <const> = Cf(Ct(true) * parameter * (comma * parameter) ^ 0, rawset)

-- One opaque word in place of parameters, which no scheme that is known here has.
local opaque <const> = (R("az", "AZ", "09") + S "-._~+/") ^ 1 * P "=" ^ 0 * #(blank * (P "," + -1))
  * Cc {}

local one <const> = Ct(Cg(name, "scheme") * (S " \t" ^ 1 * Cg(parameters + opaque, "parameters")
  + Cg(Ct(true), "parameters")))
local grammar <const> = (blank * ",") ^ 0 * blank * Ct(one * (comma * one) ^ 0) * (blank * ",") ^ 0
  * blank * -1

local challenge = {}

--- Reads one header's value.
---@param text string
---@return bpf.registry.challenge[]?  nil when it is malformed
function challenge.parse(text)
  return grammar:match(text)
end

--- The challenge that is answered: a Bearer's with a realm before a Basic one.
---@param values string[]  of all WWW-Authenticate headers
---@return bpf.registry.challenge?
function challenge.choose(values)
  local basic
  for _, value in ipairs(values) do
    for _, each in ipairs(challenge.parse(value) or {}) do
      if each.scheme == "bearer" and each.parameters.realm then return each end
      if each.scheme == "basic" then basic = basic or each end
    end
  end
  return basic
end

return challenge
