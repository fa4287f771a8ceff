-- Whole files at once.
local files = {}

---Its bytes; raises where there are none to be had.
---@return string
function files.read(path)
  local opened <close> = assert(io.open(path, "rb"))
  return opened:read "a"
end

---Makes it, or writes it anew.
---@return string path
function files.write(path, bytes)
  local opened <close> = assert(io.open(path, "wb"))
  opened:write(bytes)
  return path
end

return files
