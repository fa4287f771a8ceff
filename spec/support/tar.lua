-- Tar archives of a spec's own, also such as no tool would write.
local core = require "bpf.core"

local tar = {}

local types <const> = { file = "0", hard_link = "1", link = "2", character_device = "3",
  block_device = "4", directory = "5", fifo = "6" }

local function octal(number, digits) return ("%0" .. digits .. "o\0"):format(number) end

local function padded(text, size) return text .. ("\0"):rep(size - #text) end

local function header(entry, size)
  local function with(sum)
    return table.concat {
      padded(entry.name, 100), octal(420, 7), octal(0, 7), octal(0, 7),
      entry.raw_size or octal(size, 11), octal(0, 11), sum,
      entry.typeflag or types[entry.type or "file"],
      padded(entry.target or "", 100), "ustar\0", "00", padded("", 247),
    }
  end
  local sum = 0
  for character in with((" "):rep(8)):gmatch "." do sum = sum + character:byte() end
  return with(("%06o\0 "):format(sum))
end

---@class spec.tar.entry
---@field name string
---@field type string?      file when left out
---@field target string?    of links
---@field data string?
---@field size integer?     what the header says, when it lies
---@field typeflag string?  any other type
---@field raw_size string?  twelve bytes

---@param entry spec.tar.entry
function tar.entry(entry)
  local data = entry.data or ""
  return header(entry, entry.size or #data) .. data .. ("\0"):rep(-#data % 512)
end

---@param entries spec.tar.entry[]
---@return string
function tar.archive(entries)
  local parts = {}
  for place, entry in ipairs(entries) do parts[place] = tar.entry(entry) end
  parts[#parts + 1] = ("\0"):rep(1024)
  return table.concat(parts)
end

---Bytes in memory, to be read as a layer.
---@return table descriptor
function tar.descriptor(bytes)
  local sealed <close> = assert(core.system.seal(bytes, #bytes, "layer"))
  return assert(core.system.open("/proc/self/fd/" .. sealed:fd()))
end

---@return string
function tar.gzip(bytes)
  local path = os.tmpname()
  local from <close> = tar.descriptor(bytes)
  local to <close> = assert(core.system.open(path, "rw"))
  assert(core.layer.compress(from, to))
  local file <close> = assert(io.open(path, "rb"))
  os.remove(path)
  return file:read "a"
end

return tar
