-- The headers of one HTTP answer.

local lpeg = require "lpeg"

local P <const>, S <const>, C <const>, Ct <const>, Cg <const> =
  lpeg.P, lpeg.S, lpeg.C, lpeg.Ct, lpeg.Cg

local ends <const> = P "\r\n" + "\n"
local blank <const> = S " \t" ^ 0
local value <const> = C((1 - blank * (ends + -1)) ^ 0) * blank
local field <const> = Ct(Cg(C((1 - S ":\r\n \t") ^ 1) / string.lower, "name") * blank * ":" * blank
  * Cg(value, "value"))
local other <const> = (1 - ends) ^ 0
local grammar <const> = Ct(((field + other) * ends) ^ 0)

---@param text string  as they came, with the status line
---@return fun(name: string): string?, string[]  the first value, and all of them
return function(text)
  local fields <const> = grammar:match(text)
  return function(name)
    local values = {}
    for _, each in ipairs(fields) do
      if each.name == name:lower() then values[#values + 1] = each.value end
    end
    return values[1], values
  end
end
