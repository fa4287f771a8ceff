-- Random C types against the compiler: what clang laid down must read as what it was told, and what
-- is written must be what clang laid down. LAYOUT_TYPES=300 LAYOUT_SEED=1 for more, or one again.
require "spec.support.root"

local bpf = require "bpf"
local literal = require "bpf.literal"
local process = require "spec.support.process"
local uv = require "luv"

local TYPES <const> = math.tointeger(tonumber(os.getenv "LAYOUT_TYPES" or 60))
local SEED <const> = math.tointeger(tonumber(os.getenv "LAYOUT_SEED" or 1))

local header <const> = [[
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
enum small { SMALL_NONE, SMALL_SEVEN = 7, SMALL_TOP = 0x7fffffff };
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
char LICENSE[] SEC("license") = "GPL";
]]

local function one_of(list) return list[math.random(#list)] end

local function bits_of(width)
  local bits = math.random(0) & (width == 64 and -1 or (1 << width) - 1)
  return one_of { 0, 1, bits, bits, width == 64 and -1 or (1 << width) - 1 }
end

local function extended(bits, width)
  return width < 64 and bits >> (width - 1) == 1 and bits | -1 << width or bits
end

-- Each gives what stands before and behind the name, an initializer, and the value that is meant.
local makers = {}

function makers.integer()
  local size, signed = one_of { 8, 16, 32, 64 }, math.random() < 0.5
  local bits = bits_of(size)
  return { before = ("__%s%d"):format(signed and "s" or "u", size), width = size, signed = signed,
    init = ("(__%s%d)0x%xULL"):format(signed and "s" or "u", size, bits),
    value = signed and extended(bits, size) or bits }
end

function makers.bits()
  local size, signed = one_of { 8, 16, 32, 64 }, math.random() < 0.5
  local width = math.random(size)
  local bits = bits_of(width)
  local value = signed and extended(bits, width) or bits
  return { before = ("__%s%d"):format(signed and "s" or "u", size), behind = " : " .. width,
    init = value == math.mininteger and "-0x7fffffffffffffffLL - 1"
      or signed and ("%dLL"):format(value) or ("0x%xULL"):format(bits),
    value = value }
end

function makers.huge()
  local high, low = bits_of(64), bits_of(64)
  return { before = "unsigned __int128",
    init = ("((unsigned __int128)0x%xULL << 64 | 0x%xULL)"):format(high, low),
    value = ("0x%016x%016x"):format(high, low) }
end

function makers.boolean()
  local value = math.random() < 0.5
  return { before = "_Bool", init = tostring(value), value = value }
end

function makers.enum()
  local name = one_of { "SMALL_NONE", "SMALL_SEVEN", "SMALL_TOP" }
  return { before = "enum small", init = name, value = name }
end

function makers.float()
  local value = (math.random(0) >> 42) / 8 * one_of { 1, -1 }
  local kind = one_of { "float", "double" }
  if kind == "float" then value = math.random(-4096, 4096) / 8 end
  return { before = kind, init = ("%.17g"):format(value):gsub("^-?%d+$", "%0.0"), value = value }
end

function makers.pointer()
  local bits = bits_of(64)
  return { before = "void *", init = ("(void *)0x%xULL"):format(bits), value = bits }
end

function makers.text()
  local size = math.random(24)
  local text = ("abc \u{e4}\"\\ xyz_0123456789"):sub(1, math.random(0, size))
  if not utf8.len(text) then text = "?" end
  return { before = "char", behind = ("[%d]"):format(size), value = text,
    init = '"' .. text:gsub('["\\]', "\\%0") .. '"' }
end

local any

function makers.array(depth)
  local count = math.random(4)
  local first = any(depth + 1, true)
  local inits, values = {}, {}
  for i = 1, count do inits[i], values[i] = first.init, first.value end
  return { before = first.before, behind = ("[%d]"):format(count) .. (first.behind or ""),
    init = "{" .. table.concat(inits, ", ") .. "}", value = values }
end

local names = 0
local function new_name()
  names = names + 1
  return "m" .. names
end

local function put(declared, inits, value, member, name)
  declared[#declared + 1] = ("%s %s%s;"):format(member.before, name, member.behind or "")
  inits[#inits + 1] = (".%s = %s"):format(name, member.init)
  value[name] = member.value
end

function makers.struct(depth)
  local declared, inits, value = {}, {}, {}
  for _ = 1, math.random(6) do
    local member = any(depth + 1)
    if member.members and math.random() < 0.3 then -- an anonymous one: its members are ours
      declared[#declared + 1] = member.before .. ";"
      inits[#inits + 1] = member.init:sub(2, -2)
      for name, inner in pairs(member.value) do value[name] = inner end
    else
      put(declared, inits, value, member, new_name())
    end
  end
  local packed = math.random() < 0.2 and " __attribute__((packed))" or ""
  return { before = ("struct { %s }%s"):format(table.concat(declared, " "), packed), members = true,
    init = "{" .. table.concat(inits, ", ") .. "}", value = value }
end

-- Of a union one member is meant; the others read as they may.
function makers.union(depth)
  local declared, inits, value = {}, {}, {}
  for _ = 1, math.random(3) do put(declared, {}, {}, any(depth + 1), new_name()) end
  put(declared, inits, value, any(depth + 1), new_name())
  return { before = ("union { %s }"):format(table.concat(declared, " ")), members = true,
    init = "{" .. table.concat(inits, ", ") .. "}", value = value }
end

local leaves <const> = { "integer", "integer", "huge", "boolean", "enum", "float", "pointer",
  "text" }
local all <const> = { "bits", "bits", "array", "struct", "union", table.unpack(leaves) }

function any(depth, of_array)
  if depth > 3 then return makers[one_of(leaves)](depth) end
  local kind = one_of(all)
  if of_array and kind == "bits" then kind = "integer" end
  return makers[kind](depth)
end

-- Everything that is meant is there.
local function holds(meant, found, path)
  if type(meant) ~= "table" then
    if meant ~= found then
      error(("%s is %s, not %s"):format(path, tostring(found), tostring(meant)), 0)
    end
    return
  end
  for key, value in pairs(meant) do holds(value, found[key], path .. "." .. key) end
end

describe("random types", function()
  it(("are read and written as clang lays them down (LAYOUT_SEED=%d)"):format(SEED), function()
    math.randomseed(SEED)
    local base = ("/tmp/bpfd-spec-layout-%d"):format(uv.os_getpid())
    local lines, meant = { header }, {}
    for i = 1, TYPES do
      local made = makers.struct(1)
      -- never all zeros: clang 14 tells of some of those as .data and puts them into .bss
      lines[#lines + 1] = ("struct { __u32 mark; %s inner; } x%d = {1, %s};\n"):format(
        made.before, i, made.init)
      meant["x" .. i] = { mark = 1, inner = made.value }
    end
    do
      local file <close> = assert(io.open(base .. ".c", "w"))
      file:write(table.concat(lines))
    end
    local result = process.run { "clang", "-O2", "-g", "-target", "bpf", "-w",
      "-I/usr/include/" .. io.popen("gcc -print-multiarch"):read "l", "-c", "-o", base .. ".o",
      base .. ".c" }
    assert(result.exit == 0, result.stderr)
    local object <close> = assert(bpf.object.open(base .. ".o"))
    os.remove(base .. ".c")
    os.remove(base .. ".o")
    -- the kernel's BTF knows less: it refuses floats in packed structs
    local types <close> = assert(bpf.btf.open(object:btf_bytes()))
    assert(object:load())
    local layout = bpf.layout.of(types, assert(types:named ".data"))
    local bytes = object.maps[".data"]:lookup(("=I4"):pack(0))
    local found = layout.read(bytes)
    holds(meant, found, "")
    assert.is_true(bytes == layout.write(found), "what was read is written otherwise")
    assert.is_true(bytes == layout.write(meant), "what was meant is written otherwise")
    for _, style in ipairs { "json", "literal" } do
      local text = bpf.layout.drawing(layout, style)(bytes)
      assert.is_true(bytes == layout.write(assert(literal.read(text))), style)
    end
  end)
end)
