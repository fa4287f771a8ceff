-- The platform of this machine, in the words of image indexes.

local platform = {}

-- By the machine and the word size (1: 32 bits, 2: 64) of this process's own ELF file.
local architectures <const> = {
  [3] = "386", [62] = "amd64", [40] = "arm", [183] = "arm64", [22] = "s390x", [243] = "riscv64",
  [258] = "loong64",
}
local by_order <const> = {
  [8] = { "mips64le", "mips64" }, [21] = { "ppc64le", "ppc64" },
}

-- Which variants run here, the best first; "" is one that is not named.
local variants <const> = {
  amd64 = { "", "v1" }, arm64 = { "", "v8" }, arm = { "v7", "v6", "v5", "" },
}

---@class bpf.registry.platform
---@field os string            "linux"
---@field architecture string  "amd64", "arm64" ...
---@field variant string?

local mine

local function read()
  local file <close> = assert(io.open("/proc/self/exe", "rb"))
  local head <const> = file:read(20)
  local little <const> = head:byte(6) == 1
  local machine <const> = (little and "<I2" or ">I2"):unpack(head, 19)
  local ordered <const> = by_order[machine]
  return ordered and ordered[little and 1 or 2] or architectures[machine] or "unknown"
end

--- This machine's.
---@return bpf.registry.platform
function platform.mine()
  mine = mine or { os = "linux", architecture = read() }
  return mine
end

--- How well a platform of an image fits: 1 best, nil not at all.
---@param offered bpf.registry.platform
---@param wanted bpf.registry.platform?  this machine's when left out
---@return integer?
function platform.rank(offered, wanted)
  wanted = wanted or platform.mine()
  if offered.os ~= wanted.os or offered.architecture ~= wanted.architecture then return nil end
  local variant <const> = offered.variant or ""
  if wanted.variant then return variant == wanted.variant and 1 or variant == "" and 2 or nil end
  for place, each in ipairs(variants[wanted.architecture] or { "" }) do
    if each == variant then return place end
  end
  return nil
end

--- As people write it: linux/arm64/v8.
---@param of bpf.registry.platform
---@return string
function platform.text(of)
  return ("%s/%s%s"):format(of.os, of.architecture, of.variant and "/" .. of.variant or "")
end

return platform
