-- Names of verdicts and the proceed-on masks made of them, for XDP and TC.

local error_object = require "bpf.error"
local nearest = require "bpf.nearest"

local verdict = {}

-- XDP counts bit `action`, TC bit `action + 1` (TC_ACT_UNSPEC is -1), modulo 32;
-- `dispatcher_return` is what an unused slot of an freplace dispatcher returns, XDP 31 and TC 30,
-- and so bit 31 in both.
local kinds <const> = {
  xdp = {
    names = { "aborted", "drop", "pass", "tx", "redirect", "dispatcher_return" },
    bits = { aborted = 0, drop = 1, pass = 2, tx = 3, redirect = 4, dispatcher_return = 31 },
    default = { "pass", "dispatcher_return" },
  },
  tc = {
    names = {
      "unspec", "ok", "reclassify", "shot", "pipe", "stolen", "queued", "repeat", "redirect",
      "trap", "dispatcher_return",
    },
    bits = {
      unspec = 0, ok = 1, reclassify = 2, shot = 3, pipe = 4, stolen = 5, queued = 6,
      ["repeat"] = 7, redirect = 8, trap = 9, dispatcher_return = 31,
    },
    default = { "ok", "pipe", "dispatcher_return" },
  },
}

local function kind_of(kind)
  return kinds[kind] or error(("no such kind of chain: %s"):format(tostring(kind)), 3)
end

---All names of a kind, by code, `dispatcher_return` last.
---@param kind "xdp"|"tc"
---@return string[]
function verdict.values(kind)
  return table.move(kind_of(kind).names, 1, #kind_of(kind).names, 1, {})
end

---The names of the default proceed-on set.
---@param kind "xdp"|"tc"
---@return string[]
function verdict.default(kind)
  return table.move(kind_of(kind).default, 1, #kind_of(kind).default, 1, {})
end

---The mask that a list of names stands for; without a list, the default one.
---@param kind "xdp"|"tc"
---@param names? string[]
---@return integer? mask
---@return table? err
function verdict.encode(kind, names)
  local description = kind_of(kind)
  local mask = 0
  for _, name in ipairs(names or description.default) do
    local bit = description.bits[name]
    if not bit then
      local near = nearest(tostring(name), description.names)
      return nil, error_object.new {
        code = "EINVAL",
        message = ("%s has no verdict %s"):format(kind, tostring(name)),
        advice = ("did you mean %s? The names are: %s"):format(
          near, table.concat(description.names, ", ")),
      }
    end
    mask = mask | 1 << bit
  end
  return mask
end

---The names in a mask, by code, `dispatcher_return` last; bits without a name are an error.
---@param kind "xdp"|"tc"
---@param mask integer
---@return string[]? names
---@return table? err
function verdict.decode(kind, mask)
  local description = kind_of(kind)
  local names, rest = {}, mask
  for _, name in ipairs(description.names) do
    local bit = 1 << description.bits[name]
    if mask & bit ~= 0 then names[#names + 1] = name end
    rest = rest & ~bit
  end
  if rest ~= 0 then
    return nil, error_object.new {
      code = "EINVAL", message = ("%s has no verdicts for mask %#x"):format(kind, rest),
    }
  end
  return names
end

return verdict
