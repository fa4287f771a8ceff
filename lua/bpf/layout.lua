-- Layouts: how a BTF type lies in memory, as a reader and a writer of Lua values.
--
-- Integers, pointers: integers, all 64 bits of them (an unsigned one above 2^63 shows as negative).
-- Booleans, floats: as in Lua. Arrays of char: strings up to the first zero byte; other arrays:
-- tables from 1. Structs and data sections: tables by member, anonymous members' members included.
-- Unions: a table with every member's reading; written from one of them. Enums: the name, or the
-- integer where no name has the value; written from either. What has no such form: its bytes.

local nearest = require "bpf.nearest"

---@class bpf.layout
---@field size integer bytes
---@field read fun(bytes: string, offset: integer?): any offset from 0
---@field write fun(value: any): string raises where the value does not fit the type

local layout = {}

local little_endian <const> = string.pack("=I2", 1):byte() == 1

local compile -- by id; the makers below call it for what they contain

local function opaque(size)
  return {
    size = size,
    read = function(bytes, offset) return bytes:sub(offset + 1, offset + size) end,
    write = function(value)
      if type(value) ~= "string" or #value ~= size then
        error(("%d bytes are needed as a string"):format(size), 0)
      end
      return value
    end,
  }
end

-- string.pack's letter checks the range for itself, but for 8 bytes, where every integer fits.
local function integer(size, signed)
  if size > 8 then return opaque(size) end
  local format <const> = (signed and "=i" or "=I") .. size
  return {
    size = size,
    signed = signed,
    read = function(bytes, offset) return (format:unpack(bytes, offset + 1)) end,
    write = function(value)
      local number = math.tointeger(value)
      if not number then error(("an integer is needed, not %s"):format(tostring(value)), 0) end
      local ok, bytes = pcall(string.pack, format, number)
      if not ok then error(("%d does not fit %d bytes"):format(number, size), 0) end
      return bytes
    end,
  }
end

local makers = {}

function makers.integer(_, found)
  local plain <const> = integer(found.size, found.signed)
  if not found.boolean then return plain end
  return {
    size = found.size,
    read = function(bytes, offset) return plain.read(bytes, offset) ~= 0 end,
    write = function(value)
      if type(value) ~= "boolean" then error("a boolean is needed", 0) end
      return plain.write(value and 1 or 0)
    end,
  }
end

function makers.pointer(_, found) return integer(found.size, false) end

function makers.float(_, found)
  local format <const> = found.size == 4 and "=f" or found.size == 8 and "=d" or nil
  if not format then return opaque(found.size) end
  return {
    size = found.size,
    read = function(bytes, offset) return (format:unpack(bytes, offset + 1)) end,
    write = function(value) return format:pack(value) end,
  }
end

function makers.enum(_, found)
  local plain <const> = integer(found.size, found.signed)
  local by_name, by_value, names = {}, {}, {}
  for place, member in ipairs(found.members or {}) do
    by_name[member.name] = member.value
    by_value[member.value] = by_value[member.value] or member.name
    names[place] = member.name
  end
  return {
    size = found.size,
    signed = found.signed,
    names = by_value,
    read = function(bytes, offset)
      local value <const> = plain.read(bytes, offset)
      return by_value[value] or value
    end,
    write = function(value)
      if type(value) ~= "string" then return plain.write(value) end
      if not by_name[value] then
        error(("there is no %s; did you mean %s?"):format(value, nearest(value, names)), 0)
      end
      return plain.write(by_name[value])
    end,
  }
end

local function text(size)
  return {
    size = size,
    read = function(bytes, offset)
      return (bytes:sub(offset + 1, offset + size):match "^[^\0]*")
    end,
    write = function(value)
      if type(value) ~= "string" then error("a string is needed", 0) end
      if #value > size then error(("at most %d bytes fit"):format(size), 0) end
      return value .. ("\0"):rep(size - #value)
    end,
  }
end

function makers.array(btf, found)
  local element <const> = compile(btf, found.element)
  if element.is_character then return text(found.count) end
  return {
    size = found.size,
    read = function(bytes, offset)
      local values = {}
      for place = 1, found.count do
        values[place] = element.read(bytes, offset + (place - 1) * element.size)
      end
      return values
    end,
    write = function(values)
      if type(values) ~= "table" then error("a table is needed", 0) end
      if #values > found.count then error(("at most %d elements fit"):format(found.count), 0) end
      local parts = {}
      for place, value in ipairs(values) do parts[place] = element.write(value) end
      parts[#parts + 1] = ("\0"):rep(element.size * (found.count - #values))
      return table.concat(parts)
    end,
  }
end

-- Bits count from the low end of the bytes that hold them, or on big-endian machines from the high.
local function bit_field(member, whole)
  local first <const> = member.bit_offset // 8
  local width <const> = member.bit_size
  local inside <const> = member.bit_offset % 8
  local size <const> = (inside + width + 7) // 8
  local shift <const> = little_endian and inside or size * 8 - inside - width
  local mask <const> = width == 64 and -1 or (1 << width) - 1
  local format <const> = "=I" .. size
  local field = { first = first }
  function field.read(bytes, offset)
    local value = (format:unpack(bytes, offset + first + 1) >> shift) & mask
    if whole.signed and width < 64 and value >> (width - 1) == 1 then value = value | ~mask end
    if whole.boolean then return value ~= 0 end
    return whole.names and whole.names[value] or value
  end
  -- into the bytes of the struct, whose other bits stay
  function field.write(bytes, value)
    local padded <const> = whole.write(value)
    local number <const> = (whole.signed and "=i" or "=I") .. whole.size
    local bits <const> = number:unpack(padded)
    local fits = bits & mask == bits
    if whole.signed then
      local half <const> = 1 << (width - 1)
      fits = width == 64 or (bits >= -half and bits < half)
    end
    if not fits then error(("%d does not fit %d bits"):format(bits, width), 0) end
    local old <const> = format:unpack(bytes, first + 1)
    local new <const> = (old & ~(mask << shift)) | ((bits & mask) << shift)
    return bytes:sub(1, first) .. format:pack(new) .. bytes:sub(first + size + 1)
  end
  return field
end

local function whole_field(member, inner)
  local first <const> = member.bit_offset // 8
  local field = { first = first }
  function field.read(bytes, offset) return inner.read(bytes, offset + first) end
  function field.write(bytes, value)
    return bytes:sub(1, first) .. inner.write(value) .. bytes:sub(first + inner.size + 1)
  end
  return field
end

-- Members by name; those of anonymous structs and unions count as the outer one's, as in C.
local function collect(btf, members, base, fields, names)
  for _, member in ipairs(members) do
    local placed = {
      name = member.name, type = member.type, bit_size = member.bit_size,
      bit_offset = member.bit_offset + base,
    }
    if member.name == "" then
      local found <const> = btf:type(member.type)
      if found.kind == "struct" or found.kind == "union" then
        collect(btf, found.members, placed.bit_offset, fields, names)
      end
    else
      local inner <const> = compile(btf, member.type)
      names[#names + 1] = member.name
      fields[member.name] = member.bit_size > 0 and bit_field(placed, inner)
        or whole_field(placed, inner)
    end
  end
end

function makers.struct(btf, found)
  local fields, names = {}, {}
  collect(btf, found.members or {}, 0, fields, names)
  return {
    size = found.size,
    read = function(bytes, offset)
      local value = {}
      for name, field in pairs(fields) do value[name] = field.read(bytes, offset) end
      return value
    end,
    -- in the order of declaration, so that what overlaps is decided by the last one given
    write = function(value)
      if type(value) ~= "table" then error("a table is needed", 0) end
      for name in pairs(value) do
        if not fields[name] then
          error(("there is no member %s; did you mean %s?"):format(tostring(name),
            nearest(tostring(name), names)), 0)
        end
      end
      local bytes = ("\0"):rep(found.size)
      for _, name in ipairs(names) do
        if value[name] ~= nil then
          local ok, written = pcall(fields[name].write, bytes, value[name])
          if not ok then error(("%s: %s"):format(name, written), 0) end
          bytes = written
        end
      end
      return bytes
    end,
  }
end

makers.union = makers.struct
makers.section = makers.struct

function compile(btf, id)
  local found, err = btf:type(id)
  if not found then error(err.message, 0) end
  local made = (makers[found.kind] or function() return opaque(found.size) end)(btf, found)
  made.is_character = found.character
  made.boolean = found.boolean
  return made
end

---@param btf bpf.btf
---@param id integer a type's
---@return bpf.layout
function layout.of(btf, id) return compile(btf, id) end

---A layout for plain unsigned integers, where no BTF says more.
---@param size integer
---@return bpf.layout
function layout.unsigned(size) return integer(size, false) end

return layout
