-- Layouts: how a type lies in memory, as a reader and a writer of Lua values, and as text.
--
-- Integers, pointers: integers, all 64 bits of them (an unsigned one from 2^63 on is negative in
-- Lua and drawn as what it is); written from a text too, as "18446744073709551615", and what has 4
-- bytes without sign from an address, as "10.0.0.1". 128 bits: hexadecimal text. Booleans, floats:
-- as in Lua. Arrays of char: strings; other arrays: lists from 1. Structs and data sections: tables
-- by member, anonymous members' members included. Unions: a table with every member's reading.
-- Enums: the name, or the integer where no name has the value. All else: hexadecimal text.
-- What is read and then written gives the same bytes, but for padding, which is written as zeros.

local compound = require "bpf.layout.compound"
local drawing = require "bpf.layout.drawing"
local scalar = require "bpf.layout.scalar"

---@class bpf.layout
---@field size integer bytes
---@field read fun(bytes: string, offset: integer?): any offset from 0
---@field write fun(value: any): string raises where the value does not fit the type

local layout = {}

local compile -- a type by its id; the makers below call it for what they contain

local makers = {}

function makers.integer(_, found)
  if found.boolean then return scalar.boolean(found.size, found.signed) end
  return scalar.integer(found.size, found.signed)
end

function makers.pointer(_, found) return scalar.pointer(found.size) end

function makers.float(_, found) return scalar.float(found.size) end

function makers.enum(_, found)
  return scalar.enum(found.size, found.signed, found.members or {})
end

function makers.array(context, found)
  local element <const> = context.types:type(found.element)
  if element and element.character then return scalar.text(found.count, context.is_cut) end
  return compound.array(compile(context, found.element), found.count)
end

-- What a bit-field is read as: at most 64 bits, also where it was declared with a type of 128.
local function type_of_bits(context, member)
  local found <const> = context.types:type(member.type)
  if found.size <= 8 then return compile(context, member.type) end
  return makers.integer(context, { size = 8, signed = found.signed, boolean = found.boolean })
end

local function placed(context, member, bit_offset)
  if member.bit_size == 0 then
    return { name = member.name, first = bit_offset // 8, layout = compile(context, member.type) }
  end
  local whole <const> = type_of_bits(context, member)
  local bits <const> = compound.bits(whole, bit_offset, member.bit_size)
  return { name = member.name, first = bits.first, layout = bits }
end

-- Members of anonymous structs and unions count as the outer one's, as in C.
local function collect(context, found, base, members)
  for _, member in ipairs(found.members or {}) do
    local bit_offset <const> = member.bit_offset + base
    if member.name ~= "" then
      members[#members + 1] = placed(context, member, bit_offset)
    else
      local inner <const> = context.types:type(member.type)
      if inner and (inner.kind == "struct" or inner.kind == "union") then
        collect(context, inner, bit_offset, members)
      end
    end
  end
  return members
end

function makers.struct(context, found)
  return compound.members(found.size, collect(context, found, 0, {}))
end

makers.union = makers.struct
makers.section = makers.struct

function compile(context, id)
  local found, err = context.types:type(id)
  if not found then error(err.message, 0) end
  local make <const> = makers[found.kind]
  return make and make(context, found) or scalar.bytes(found.size)
end

---@param types bpf.btf
---@param id integer a type's
---@param options? { cut: boolean? } cut: strings end at their first zero, whatever stands behind
---@return bpf.layout
function layout.of(types, id, options)
  return compile({ types = types, is_cut = options and options.cut }, id)
end

---A layout for plain unsigned integers, where no BTF says more.
---@param size integer
---@return bpf.layout
function layout.unsigned(size) return scalar.integer(size, false) end

---A layout from a line of text, as "ip:ip4 port:be16 pad[2]"; see bpf.layout.format.
---@param text string
---@param size integer bytes that it must describe
---@return bpf.layout?
---@return bpf.error? err
function layout.format(text, size) return require "bpf.layout.format"(text, size) end

---What makes a text of bytes that lie so.
---@param of bpf.layout
---@param style "json"|"literal" literal: for people
---@return fun(bytes: string, offset: integer): string
function layout.drawing(of, style) return drawing.of(of, style) end

return layout
