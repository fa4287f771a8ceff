-- Layouts of what has one value: integers, booleans, floats, enums, texts and bytes.
--
-- A scalar is what string.unpack's `letter` reads, made a Lua value by `value` where it is not that
-- already, and drawn as `drawn` says: a step of bpf.layout.drawing.

local drawing = require "bpf.layout.drawing"
local nearest = require "bpf.nearest"
local number = require "bpf.number"

local scalar = {}

--- Gives a scalar its reader and its place in drawings.
---@param self table   size, letter, value, write, drawn
---@return bpf.layout
function scalar.new(self)
  local letter <const>, value <const> = self.letter, self.value
  if value then
    self.read = function(bytes, offset) return value((letter:unpack(bytes, (offset or 0) + 1))) end
  else
    self.read = function(bytes, offset) return (letter:unpack(bytes, (offset or 0) + 1)) end
  end
  self.drawn.size = self.size
  self.place = function(into, offset) into:value(offset, self.drawn) end
  return self
end

--- A scalar whose Lua value is the text that people see.
---@param size integer
---@param kind string  of a step of bpf.layout.drawing
---@param write fun(value: any): string
function scalar.shown(size, kind, write)
  local self <const> = { size = size, letter = "c" .. size, write = write, drawn = { kind = kind } }
  scalar.new(self)
  self.read = drawing.of(self, "literal")
  self.value = self.read
  return self
end

local function from_hex(digits)
  return (digits:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

--- Bytes as hexadecimal text, in the order of memory.
function scalar.bytes(size)
  return scalar.shown(size, "bytes", function(given)
    local digits <const> = type(given) == "string" and given:match "^0x(%x*)$"
    if digits and #digits == 2 * size then return from_hex(digits) end
    error(("%d bytes are needed as hexadecimal text, 0x%s"):format(size,
      ("00"):rep(math.min(size, 4)) .. (size > 4 and "..." or "")), 0)
  end)
end

local function huge_digits(given, signed)
  local text <const> = math.type(given) == "integer" and ("%d"):format(given) or given
  local digits <const> = type(text) == "string" and text:match "^0[xX](%x+)$"
  if digits and #digits <= 32 then return ("0"):rep(32 - #digits) .. digits end
  local bits, is_negative = number.parse(type(text) == "string" and text or "")
  if not bits or is_negative and not signed then
    error(("an integer of 128 bits is needed, as 0x..., not %s"):format(tostring(given)), 0)
  end
  if not is_negative then return ("%032x"):format(bits) end
  return ("%016x%016x"):format(bits ~= 0 and -1 or 0, -bits)
end

-- A number of 128 bits has no Lua integer: hexadecimal text, the highest digit first.
local function huge(signed)
  local is_little <const> = ("=I2"):pack(1):byte() == 1
  return scalar.shown(16, "huge", function(given)
    local bytes <const> = from_hex(huge_digits(given, signed))
    return is_little and bytes:reverse() or bytes
  end)
end

--- The bytes of an address such as 10.0.0.1.
---@param text string
---@return string?
function scalar.dotted_quad(text)
  local bytes = {}
  for part in (text .. "."):gmatch "([^.]*)%." do
    if not part:find "^%d%d?%d?$" or tonumber(part) > 255 then return nil end
    bytes[#bytes + 1] = string.char(part)
  end
  return #bytes == 4 and table.concat(bytes) or nil
end

local function is_unsigned_object(value)
  local meta <const> = getmetatable(value)
  return type(meta) == "table" and meta.__name == "bpf.unsigned"
end

-- The bits of what a user gives for an integer. A text is held to what it says; a Lua integer is 64
-- bits, and which number those are is the type's to say.
local function bits_of(given, size, signed)
  local bits, is_negative
  if is_unsigned_object(given) then given = tostring(given) end
  if type(given) == "string" then
    bits, is_negative = number.parse(given)
    if not bits and not given:find "^%-?%d+$" and not given:find "^%-?0[xX]%x+$" then
      local quad <const> = size == 4 and not signed and scalar.dotted_quad(given)
      if not quad then error(("an integer is needed, not %s"):format(given), 0) end
      return (("=I4"):unpack(quad))
    end
  else
    bits = math.type(given) and math.tointeger(given)
    if not bits then error(("an integer is needed, not %s"):format(tostring(given)), 0) end
    if size == 8 then return bits end
    is_negative = bits < 0
    if is_negative then bits = -bits end
  end
  if not bits or not number.fits(bits, is_negative, size * 8, signed) then
    error(("%s does not fit %d bytes%s"):format(tostring(given), size,
      signed and "" or " without sign"), 0)
  end
  return is_negative and -bits or bits
end

--- Integers: all 64 bits; an unsigned one from 2^63 on is negative in Lua, and drawn as it is.
---@param size integer
---@param signed boolean?
---@param order ">"|"<"|"="|nil
function scalar.integer(size, signed, order)
  if size == 16 then return huge(signed) end
  if size ~= 1 and size ~= 2 and size ~= 4 and size ~= 8 then return scalar.bytes(size) end
  local letter <const> = (order or "=") .. (signed and "i" or "I") .. size
  local mask <const> = size == 8 and -1 or (1 << size * 8) - 1
  local packing <const> = (order or "=") .. "I" .. size
  return scalar.new {
    size = size, letter = letter, signed = signed,
    drawn = {
      kind = "integer", signed = signed, big_endian = order == ">", width = size * 8,
    },
    write = function(given) return packing:pack(bits_of(given, size, signed) & mask) end,
  }
end

--- Pointers are integers, drawn for people in base 16.
function scalar.pointer(size)
  local plain <const> = scalar.integer(size, false)
  plain.drawn.kind = "hex"
  return plain
end

local truths <const> = { ["true"] = 1, ["false"] = 0 }

--- Booleans: true and false are 1 and 0; whatever else lies there is a number, and so is one of a
--- size that no Lua integer has.
function scalar.boolean(size, signed)
  local plain <const> = scalar.integer(size, signed)
  if size > 8 then return plain end
  return scalar.new {
    size = size, letter = plain.letter, signed = signed,
    value = function(raw)
      if raw == 0 then return false end
      return raw == 1 or raw
    end,
    drawn = { kind = "boolean", signed = signed, width = size * 8 },
    write = function(given)
      local known <const> = truths[tostring(given)]
      if not known and type(given) ~= "string" and not math.type(given) then
        error("true or false is needed", 0)
      end
      local ok, bytes = pcall(plain.write, known or given)
      if not ok then error(("true or false is needed, not %s"):format(tostring(given)), 0) end
      return bytes
    end,
  }
end

local float_formats <const> = {
  [4] = { letter = "=f", integer = "=I4", nan = 0x7fc00000 },
  [8] = { letter = "=d", integer = "=I8", nan = 0x7ff8000000000000 },
}

local infinities <const> = { ["inf"] = math.huge, ["-inf"] = -math.huge }

local function is_infinite(value) return value == math.huge or value == -math.huge end

local function write_float(format, size, given)
  local payload <const> = type(given) == "string" and given:match "^nan%((0x%x+)%)$"
  if payload then return format.integer:pack(bits_of(payload, size, false)) end
  if given == "nan" or given ~= given then return format.integer:pack(format.nan) end
  local wanted <const> = infinities[given] or tonumber(given)
  if not wanted then error(("a number is needed, not %s"):format(tostring(given)), 0) end
  local bytes <const> = format.letter:pack(wanted)
  if is_infinite(format.letter:unpack(bytes)) and not is_infinite(wanted) then
    error(("%s does not fit %d bytes"):format(tostring(given), size), 0)
  end
  return bytes
end

--- Floats; a NaN that is not the usual one is a text with its bits, such as nan(0x7fa00000).
function scalar.float(size)
  local format <const> = float_formats[size]
  if not format then return scalar.bytes(size) end
  return scalar.new {
    size = size, letter = "c" .. size, drawn = { kind = "float" },
    value = function(raw)
      local found <const> = format.letter:unpack(raw)
      if found == found or format.integer:unpack(raw) == format.nan then return found end
      return ("nan(0x%x)"):format((format.integer:unpack(raw)))
    end,
    write = function(given) return write_float(format, size, given) end,
  }
end

--- Enums: the name; the integer where no name has the value.
---@param members { name: string, value: integer }[]
function scalar.enum(size, signed, members)
  local plain <const> = scalar.integer(size, signed)
  local by_name, by_value, names = {}, {}, {}
  for place, member in ipairs(members) do
    by_name[member.name] = member.value
    by_value[member.value] = by_value[member.value] or member.name
    names[place] = member.name
  end
  return scalar.new {
    size = size, letter = plain.letter, signed = signed,
    value = function(raw) return by_value[raw] or raw end,
    drawn = { kind = "name", names = by_value, signed = signed, width = size * 8 },
    write = function(given)
      if by_name[given] then return plain.write(by_name[given]) end
      if type(given) == "string" and not number.parse(given) then
        error(#names == 0 and "its type has no names"
          or ("there is no %s; did you mean %s?"):format(given, nearest(given, names)), 0)
      end
      return plain.write(given)
    end,
  }
end

-- Without the zeros that fill it up; cut at the first zero where what follows it means nothing.
local function text_value(raw, is_cut)
  local stop <const> = raw:find("\0", 1, true)
  if not stop then return raw end
  if is_cut or not raw:find("[^\0]", stop) then return raw:sub(1, stop - 1) end
  return raw:sub(1, #raw - raw:reverse():find "[^\0]" + 1)
end

local function bytes_of_list(list)
  local bytes = {}
  for place, byte in ipairs(list) do
    local ok, bits = pcall(bits_of, byte, 1, false)
    if not ok then ok, bits = pcall(bits_of, byte, 1, true) end
    if not ok then error(("%s is no byte"):format(tostring(byte)), 0) end
    bytes[place] = string.char(bits & 0xff)
  end
  return table.concat(bytes)
end

--- Arrays of char: a string without the zeros at its end. Drawn as a text where it is UTF-8 without
--- a zero inside, else as a list of bytes. Written from either.
---@param is_cut boolean?  end it at the first zero, whatever stands behind
function scalar.text(size, is_cut)
  return scalar.new {
    size = size, letter = "c" .. size, drawn = { kind = "string", cut = is_cut },
    value = function(raw) return text_value(raw, is_cut) end,
    write = function(given)
      local bytes <const> = type(given) == "table" and bytes_of_list(given) or given
      if type(bytes) ~= "string" then error("a string is needed", 0) end
      if #bytes > size then error(("at most %d bytes fit"):format(size), 0) end
      return bytes .. ("\0"):rep(size - #bytes)
    end,
  }
end

return scalar
