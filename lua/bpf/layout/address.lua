-- Layouts of network addresses, as people write them.

local scalar = require "bpf.layout.scalar"

local address = {}

local function layout_of(size, kind, what, from_text)
  return scalar.shown(size, kind, function(given)
    local bytes <const> = type(given) == "string" and from_text(given)
    if bytes then return bytes end
    error(("%s is needed, not %s"):format(what, tostring(given)), 0)
  end)
end

local function group_bytes(text)
  if text == "" then return "" end
  local parts = {}
  for word in (text .. ":"):gmatch "([^:]*):" do
    if not word:find "^%x%x?%x?%x?$" then return nil end
    parts[#parts + 1] = (">I2"):pack(tonumber(word, 16))
  end
  return table.concat(parts)
end

local function ip6_bytes(text)
  local before <const>, quad <const> = text:match "^(.*:)(%d+%.%d+%.%d+%.%d+)$"
  if quad then
    local bytes <const> = scalar.dotted_quad(quad)
    if not bytes then return nil end
    text = before .. ("%x:%x"):format((">I2I2"):unpack(bytes))
  end
  local head, tail = text:match "^(.-)::(.*)$"
  if not head then
    local bytes <const> = group_bytes(text)
    return bytes and #bytes == 16 and bytes or nil
  end
  head, tail = group_bytes(head), group_bytes(tail)
  if not head or not tail or #head + #tail > 14 then return nil end
  return head .. ("\0"):rep(16 - #head - #tail) .. tail
end

local function mac_bytes(text)
  if not text:find("^" .. ("%x%x[:-]"):rep(5) .. "%x%x$") then return nil end
  return (text:gsub("(%x%x)[:-]?", function(pair) return string.char(tonumber(pair, 16)) end))
end

address.ip4 = layout_of(4, "ip4", "an address such as 10.0.0.1", scalar.dotted_quad)
address.ip6 = layout_of(16, "ip6", "an address such as fd00::1", ip6_bytes)
address.mac = layout_of(6, "mac", "an address such as 02:00:00:00:00:01", mac_bytes)

return address
