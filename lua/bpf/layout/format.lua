-- Format strings: layouts in a line of text, for maps whose object told no types.
--
--   ip:ip4 port:be16 pad[2]        members by name, one behind the other, with nothing between
--   u64                            one value without a name
--
-- Types: u8 u16 u32 u64 u128, i8 to i128, be16 be32 be64, bool, f32 f64, ip4 ip6 mac; char[N] for
-- text, hex[N] for bytes, pad[N] for bytes that mean nothing; TYPE[N] for a list of others. Alone,
-- char and hex take all the bytes there are.

local lpeg = require "lpeg"

local address = require "bpf.layout.address"
local compound = require "bpf.layout.compound"
local error_object = require "bpf.error"
local nearest = require "bpf.nearest"
local scalar = require "bpf.layout.scalar"

local R <const>, S <const>, C <const>, Cg <const>, Ct <const> =
  lpeg.R, lpeg.S, lpeg.C, lpeg.Cg, lpeg.Ct

local word <const> = (R("az", "AZ", "09") + "_") ^ 1
local count <const> = "[" * Cg(R "09" ^ 1 / tonumber, "count") * "]"
local part <const> = Ct((Cg(C(word), "name") * ":") ^ -1 * Cg(C(word), "type") * count ^ -1)
local blank <const> = S " ,\t"
local grammar <const> = blank ^ 0 * Ct(part * (blank ^ 1 * part) ^ 0) * blank ^ 0 * -1

local most_bytes <const> = 1 << 24

local plain <const> = {
  u128 = scalar.integer(16, false), i128 = scalar.integer(16, true), bool = scalar.boolean(1),
  f32 = scalar.float(4), f64 = scalar.float(8),
  ip4 = address.ip4, ip6 = address.ip6, mac = address.mac,
}
for _, size in ipairs { 1, 2, 4, 8 } do
  plain["u" .. size * 8] = scalar.integer(size, false)
  plain["i" .. size * 8] = scalar.integer(size, true)
  if size > 1 then plain["be" .. size * 8] = scalar.integer(size, false, ">") end
end

-- Those whose size is counted in bytes.
local sized <const> = { char = scalar.text, hex = scalar.bytes, pad = scalar.bytes }

local function known_types()
  local names = { "char", "hex", "pad" }
  for name in pairs(plain) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function layout_of(found, size)
  local make <const> = sized[found.type]
  if make then
    if not found.count and not size then
      return nil, ("%s needs its bytes, as %s[16]"):format(found.type, found.type)
    end
    return make(found.count or size)
  end
  local element <const> = plain[found.type]
  if not element then
    return nil, ("there is no type %s; did you mean %s?"):format(found.type,
      nearest(found.type, known_types()))
  end
  return found.count and compound.array(element, found.count) or element
end

local function members_of(parts)
  local members, offset, seen = {}, 0, {}
  for _, found in ipairs(parts) do
    local made, why = layout_of(found)
    if not made then return nil, why end
    if found.type ~= "pad" then
      local name <const> = found.name
      if not name then return nil, ("%s needs a name: NAME:%s"):format(found.type, found.type) end
      if seen[name] then return nil, name .. " stands there twice" end
      seen[name] = true
      members[#members + 1] = { name = name, first = offset, layout = made }
    end
    offset = offset + made.size
  end
  return compound.members(offset, members)
end

local function made_of(text, size)
  local parts <const> = grammar:match(text)
  if not parts then
    return nil, "it must read as NAME:TYPE NAME:TYPE, or be one TYPE"
  end
  for _, found in ipairs(parts) do
    if found.count and (found.count < 1 or found.count > most_bytes) then
      return nil, ("[%s] is no count"):format(found.count)
    end
  end
  if #parts == 1 and not parts[1].name and parts[1].type ~= "pad" then
    return layout_of(parts[1], size)
  end
  return members_of(parts)
end

---@param text string
---@param size integer?  bytes that it must describe
---@return bpf.layout?
---@return bpf.error? err
return function(text, size)
  local made, why = made_of(text, size)
  if made and size and made.size ~= size then
    why = ("it describes %d bytes, and there are %d"):format(made.size, size)
  end
  if not why then return made end
  return nil, error_object.new {
    code = "EINVAL", message = ("the format '%s' cannot be taken: %s"):format(text, why),
  }
end
