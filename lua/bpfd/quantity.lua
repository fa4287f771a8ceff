-- Sizes and durations as people write them: "64MiB", "30s".

local lpeg = require "lpeg"

local sizes <const> = { B = 1, KiB = 1 << 10, MiB = 1 << 20, GiB = 1 << 30, TiB = 1 << 40 }
local seconds <const> = { ms = 0.001, s = 1, min = 60, h = 3600 }

local function grammar(units)
  local unit = lpeg.P(false)
  for name in pairs(units) do unit = lpeg.P(name) * -1 + unit end
  return lpeg.C(lpeg.R "09" ^ 1) * lpeg.C(unit) * -1
end

local size_grammar <const> = grammar(sizes)
local duration_grammar <const> = grammar(seconds)

local quantity = {}

local function read(text, pattern, units)
  if type(text) ~= "string" then return nil end
  local digits, unit = pattern:match(text)
  local number = digits and #digits <= 9 and math.tointeger(tonumber(digits))
  if not number then return nil end
  return number * units[unit]
end

--- Bytes; nil for what is no size.
---@param text any  such as "1MiB"
---@return integer?
function quantity.size(text)
  return read(text, size_grammar, sizes)
end

--- Seconds; nil for what is no duration.
---@param text any  such as "60s" or "50ms"
---@return number?
function quantity.duration(text)
  return read(text, duration_grammar, seconds)
end

return quantity
