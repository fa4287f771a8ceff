-- Values of global variables as users write them: 0A0B0C0D, u32:10, i64:-1, str:eth0.

local lpeg = require "lpeg"

local error_object = require "bpf.error"
local number = require "bpf.number"

local P <const>, R <const>, C <const>, Cc <const>, Ct <const> =
  lpeg.P, lpeg.R, lpeg.C, lpeg.Cc, lpeg.Ct
local hex_digit <const> = R("09", "af", "AF")
local end_of_text <const> = P(-1)

local width <const> = P "8" + "16" + "32" + "64"
local number_text <const> = C(P "-" ^ -1 * (P "0x" * hex_digit ^ 1 + R "09" ^ 1))
local integer <const> = Cc "integer" * C(P "u" + "i") * (width / tonumber) * ":" * number_text
local text <const> = Cc "text" * P "str:" * C(P(1) ^ 0)
local bytes <const> = Cc "bytes" * C(hex_digit ^ 1)
local value_grammar <const> = Ct((integer + text + bytes) * end_of_text)
local assignment_grammar <const> = C((1 - P "=") ^ 1) * "=" * C(P(1) ^ 0)

local global = {}

local function fail(message)
  return nil, error_object.new { code = "EINVAL", message = message }
end

local function pack_integer(value, parsed)
  local _, kind, size, digits = table.unpack(parsed)
  local bits, is_negative = number.parse(digits)
  if not bits or not number.fits(bits, is_negative, size, kind == "i") then
    return fail(("%s does not fit %s%d"):format(value, kind, size))
  end
  return ("=I" .. size // 8):pack((is_negative and -bits or bits) & ((1 << size) - 1))
end

--- Reads a value. Bytes are in memory order; integers in the byte order of this machine.
---@param value string
---@return string? bytes
---@return bpf.error|boolean? err   with bytes: true when they are a text, filled up with zeros
function global.parse(value)
  local parsed <const> = value_grammar:match(value)
  if not parsed then
    local form <const> = "'%s' is neither hexadecimal bytes nor u32:NUMBER, i64:NUMBER or str:TEXT"
    return fail(form:format(value))
  end
  if parsed[1] == "integer" then return pack_integer(value, parsed) end
  if parsed[1] == "text" then return parsed[2] .. "\0", true end
  if #parsed[2] % 2 == 1 then
    return fail(("'%s' has an odd number of hexadecimal digits"):format(value))
  end
  return (parsed[2]:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

--- Reads a value for a variable of this many bytes: its size must be the same, but a text may be
--- shorter.
---@param value string
---@param size integer
---@return string? bytes
---@return bpf.error?
function global.fit(value, size)
  local parsed, text_or_error = global.parse(value)
  if not parsed then return nil, text_or_error end
  if text_or_error and #parsed < size then parsed = parsed .. ("\0"):rep(size - #parsed) end
  if #parsed ~= size then
    return fail(("'%s' is %d bytes, but the variable has %d"):format(value, #parsed, size))
  end
  return parsed
end

--- Splits NAME=VALUE and checks the value.
---@param assignment string
---@return string? name
---@return string|bpf.error value   as it was written
function global.split(assignment)
  local name, value = assignment_grammar:match(assignment)
  if not name then return fail(("'%s' is not NAME=VALUE"):format(assignment)) end
  local parsed, err = global.parse(value)
  if not parsed then return nil, err:because(name) end
  return name, value
end

return global
