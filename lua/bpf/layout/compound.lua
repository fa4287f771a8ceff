-- Layouts of what has parts: arrays, and members by name.

local nearest = require "bpf.nearest"

local compound = {}

local little_endian <const> = string.pack("=I2", 1):byte() == 1

local function check_list(values, count)
  if type(values) ~= "table" then error("a list is needed", 0) end
  if #values > count then error(("at most %d elements fit"):format(count), 0) end
  for key in pairs(values) do
    if math.type(key) ~= "integer" or key < 1 or key > #values then
      error(("a list has no element %s"):format(tostring(key)), 0)
    end
  end
end

--- Arrays: lists from 1; what a shorter list leaves is zero.
---@param element bpf.layout
---@param count integer
function compound.array(element, count)
  local size <const> = element.size
  return {
    size = size * count,
    read = function(bytes, offset)
      local values = {}
      for i = 1, count do values[i] = element.read(bytes, (offset or 0) + (i - 1) * size) end
      return values
    end,
    write = function(values)
      check_list(values, count)
      local parts = {}
      for i, value in ipairs(values) do
        local ok, written = pcall(element.write, value)
        if not ok then error(("[%d]: %s"):format(i, written), 0) end
        parts[i] = written
      end
      parts[#parts + 1] = ("\0"):rep(size * (count - #values))
      return table.concat(parts)
    end,
    place = function(into, offset)
      into:list(offset, count, size, function() element.place(into, 0) end)
    end,
  }
end

-- Bits count from the low end of the bytes that hold them, or on big-endian machines from the high.
local function bit_shape(bit_offset, width)
  local inside <const> = bit_offset % 8
  local size <const> = (inside + width + 7) // 8
  return {
    first = bit_offset // 8, size = size,
    shift = little_endian and inside or size * 8 - inside - width,
    mask = width == 64 and -1 or (1 << width) - 1,
  }
end

-- Bits of up to nine bytes, where packed ones lie across them.
local function read_bits(shape)
  local size <const>, shift <const>, mask <const> = shape.size, shape.shift, shape.mask
  if size <= 8 then
    local letter <const> = "=I" .. size
    return function(bytes, offset) return (letter:unpack(bytes, offset + 1) >> shift) & mask end
  end
  local pattern <const> = little_endian and "<I8B" or ">BI8"
  return function(bytes, offset)
    local low, high = pattern:unpack(bytes, offset + 1)
    if not little_endian then low, high = high, low end
    return (low >> shift | high << (64 - shift)) & mask
  end
end

local function write_bits(shape)
  local size <const>, shift <const>, mask <const> = shape.size, shape.shift, shape.mask
  if size <= 8 then
    local letter <const> = "=I" .. size
    return function(old, bits)
      return letter:pack((letter:unpack(old) & ~(mask << shift)) | ((bits & mask) << shift))
    end
  end
  local pattern <const> = little_endian and "<I8B" or ">BI8"
  return function(old, bits)
    local low, high = pattern:unpack(old)
    if not little_endian then low, high = high, low end
    low = low & ~(mask << shift) | (bits & mask) << shift
    high = high & ~(mask >> (64 - shift)) & 0xff | (bits & mask) >> (64 - shift)
    if not little_endian then low, high = high, low end
    return pattern:pack(low, high)
  end
end

--- A bit-field: `whole` is the layout of the type that it was declared with.
---@param whole bpf.layout
---@param bit_offset integer  from the start of the members
---@param width integer
function compound.bits(whole, bit_offset, width)
  local shape <const> = bit_shape(bit_offset, width)
  local mask <const>, shift <const> = shape.mask, shape.shift
  local read <const>, write <const> = read_bits(shape), write_bits(shape)
  local as_whole <const> = (whole.signed and "=i" or "=I") .. whole.size
  local function value_of(bits)
    if whole.signed and width < 64 and bits >> (width - 1) == 1 then bits = bits | ~mask end
    return bits
  end
  local drawn = { size = shape.size, shift = shift, width = width }
  for key, value in pairs(whole.drawn) do drawn[key] = drawn[key] or value end
  return {
    size = shape.size, first = shape.first,
    read = function(bytes, offset)
      local bits <const> = value_of(read(bytes, offset or 0))
      if whole.value then return whole.value(bits) end
      return bits
    end,
    place = function(into, offset) into:value(offset, drawn) end,
    -- over the bytes that are there, whose other bits stay
    write_over = function(old, value)
      local bits <const> = as_whole:unpack(whole.write(value))
      local half <const> = 1 << (width - 1)
      local fits = bits & mask == bits
      if whole.signed then fits = width == 64 or bits >= -half and bits < half end
      if not fits then error(("%s does not fit %d bits"):format(tostring(value), width), 0) end
      return write(old, bits)
    end,
  }
end

local function place_members(members)
  return function(into, offset)
    into:text "{"
    for i, member in ipairs(members) do
      if i > 1 then into:text(into:separator()) end
      into:name(member.name)
      member.layout.place(into, offset + member.first)
    end
    into:text "}"
  end
end

local function write_member(bytes, member, value)
  local size <const>, first <const> = member.layout.size, member.first
  local write_over <const> = member.layout.write_over
  local ok, written
  if write_over then
    ok, written = pcall(write_over, bytes:sub(first + 1, first + size), value)
  else
    ok, written = pcall(member.layout.write, value)
  end
  if ok then return bytes:sub(1, first) .. written .. bytes:sub(first + size + 1) end
  local gap <const> = written:find "^%[" and "" or written:find "^[%w_.%[%]]+: " and "." or ": "
  error(member.name .. gap .. written, 0)
end

local function check_names(value, by_name, names)
  if type(value) ~= "table" then error("a table of members is needed", 0) end
  for name in pairs(value) do
    if not by_name[name] then
      error(#names == 0 and ("there is no member %s"):format(tostring(name))
        or ("there is no member %s; did you mean %s?"):format(tostring(name),
          nearest(tostring(name), names)), 0)
    end
  end
end

--- Members by name, in the order in which they are drawn and written: where they overlap, the last
--- one given decides. Those left out are zero, as is what lies between.
---@param size integer
---@param members { name: string, first: integer, layout: bpf.layout }[]  first: byte from the start
function compound.members(size, members)
  local by_name, names = {}, {}
  for i, member in ipairs(members) do
    by_name[member.name], names[i] = member, member.name
  end
  return {
    size = size, place = place_members(members),
    read = function(bytes, offset)
      local value = {}
      for name, member in pairs(by_name) do
        value[name] = member.layout.read(bytes, (offset or 0) + member.first)
      end
      return value
    end,
    write = function(value)
      check_names(value, by_name, names)
      local bytes = ("\0"):rep(size)
      for _, member in ipairs(members) do
        if value[member.name] ~= nil then
          bytes = write_member(bytes, member, value[member.name])
        end
      end
      return bytes
    end,
  }
end


return compound
