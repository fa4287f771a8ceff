-- Base64 with padding, as RFC 4648 has it.

local base64 = {}

local letters <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local values = {}
for value = 0, 63 do values[letters:byte(value + 1)] = value end

local function letter(value) return letters:sub((value & 63) + 1, (value & 63) + 1) end

--- Writes bytes on one line.
---@param bytes string
---@return string
function base64.encode(bytes)
  local parts = {}
  for at = 1, #bytes, 3 do
    local a, b, c = bytes:byte(at, at + 2)
    local group <const> = a << 16 | (b or 0) << 8 | (c or 0)
    parts[#parts + 1] = letter(group >> 18) .. letter(group >> 12)
      .. (b and letter(group >> 6) or "=") .. (c and letter(group) or "=")
  end
  return table.concat(parts)
end

--- Reads one line of base64; nil for what is none.
---@param text string
---@return string?
function base64.decode(text)
  if #text % 4 ~= 0 or not text:find "^[%w+/]*=?=?$" then return nil end
  local parts = {}
  for at = 1, #text, 4 do
    local a, b, c, d = text:byte(at, at + 3)
    local group <const> = values[a] << 18 | values[b] << 12 | (values[c] or 0) << 6
      | (values[d] or 0)
    local bytes <const> = (">I3"):pack(group)
    parts[#parts + 1] = bytes:sub(1, not values[c] and 1 or not values[d] and 2 or 3)
  end
  return table.concat(parts)
end

return base64
