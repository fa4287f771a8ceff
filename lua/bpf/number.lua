-- Whole numbers of up to 64 bits as people write them: exact, signed or unsigned.

local number = {}

local function bits_of(digits, base)
  local bits = 0
  for digit in digits:gmatch "." do
    local next_bits = bits * base + tonumber(digit, base)
    local fits <const> = base == 16 and (bits >> 60) == 0
      or base == 10 and math.ult(bits, 1844674407370955162) and not math.ult(next_bits, bits)
    if not fits then return nil end
    bits = next_bits
  end
  return bits
end

--- Reads -7, 255 or 0xff.
---@param text string
---@return integer? bits       of the number without its sign; nil: no number, or too big
---@return boolean is_negative
function number.parse(text)
  local minus, hexadecimal = text:match "^(%-?)0[xX](%x+)$"
  if hexadecimal then return bits_of(hexadecimal, 16), minus == "-" end
  local decimal
  minus, decimal = text:match "^(%-?)(%d+)$"
  if not decimal then return nil, false end
  return bits_of(decimal, 10), minus == "-"
end

--- Whether a parsed number lies in the range of an integer of this many bits.
---@param bits integer
---@param is_negative boolean
---@param width integer
---@param signed boolean?
---@return boolean
function number.fits(bits, is_negative, width, signed)
  local top <const> = 1 << (width - 1)
  if signed then return math.ult(bits, top) or is_negative and bits == top end
  return (not is_negative or bits == 0) and not math.ult((1 << width) - 1, bits)
end

--- The 64 bits of an integer as an unsigned number.
---@param bits integer
---@return string
function number.unsigned(bits)
  if bits >= 0 then return tostring(bits) end
  local tens <const> = (bits >> 1) // 5
  return ("%d%d"):format(tens, bits - tens * 10)
end

return number
