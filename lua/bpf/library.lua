-- Finds shared libraries by name as the dynamic linker does: in /etc/ld.so.cache.

local system = require("bpf.core").system
local error_object = require "bpf.error"

local default_cache <const> = "/etc/ld.so.cache"

-- glibc's "new" format: header, entries, strings. Offsets count from the magic, which an old-format
-- cache may precede.
local magic <const> = "glibc-ld.so.cache1.1"
local header <const> = "=c20I4I4Bxxx I4 I4I4I4"
local header_size <const> = string.packsize(header)
local entry <const> = "=i4I4I4I4I8"
local entry_size <const> = string.packsize(entry)

local library = {}

local function read_path(path, bytes)
  local file <close>, why = io.open(path, "rb")
  if not file then return nil, why end
  return file:read(bytes or "a") or ""
end

-- Below another root links lead where they lead for those whose root it is.
local function read_file(root, path, bytes)
  if not root then return read_path(path, bytes) end
  local directory <close>, err = system.open(root, "directory")
  if not directory then return nil, err.message end
  local opened <close>, why = system.open_below(directory, path)
  if not opened then return nil, why.message end
  return read_path("/proc/self/fd/" .. opened:fd(), bytes)
end

-- Word size, byte order and machine: what tells libraries of one architecture from another's.
local function architecture(root, path)
  local head <const> = read_file(root, path, 20)
  if not head or #head < 20 or head:sub(1, 4) ~= "\127ELF" then return nil end
  return head:sub(5, 6) .. head:sub(19, 20)
end

local function matches(key, name)
  return key == name or key:sub(1, #name + 3) == name .. ".so"
    and (#key == #name + 3 or key:sub(#name + 4, #name + 4) == ".")
end

-- Iterates over (soname, path, hwcap). Nothing is trusted: the file may be cut short.
local function each_library(cache)
  local start <const> = cache:find(magic, 1, true)
  if not start or #cache < start + header_size - 1 then return nil end
  local _, count = header:unpack(cache, start)
  local index = 0
  local function string_at(offset)
    return ("z"):unpack(cache, start + offset)
  end
  return function()
    if index >= count then return nil end
    local _, key, value, _, hwcap =
      entry:unpack(cache, start + header_size + index * entry_size)
    index = index + 1
    return string_at(key), string_at(value), hwcap
  end
end

local function search(cache, name, root)
  local wanted <const> = architecture(nil, "/proc/self/exe")
  local next_library <const> = each_library(cache)
  if not next_library then return nil end
  local found
  for key, path, hwcap in next_library do
    if matches(key, name) and architecture(root, path) == wanted then
      if hwcap == 0 then return path end
      found = found or path
    end
  end
  return found
end

local function fail(code, message)
  return nil, error_object.new { code = code, message = message }
end

--- The file behind a library's name, of this process's architecture: `libc` or `libc.so.6` gives
--- /lib/x86_64-linux-gnu/libc.so.6. What has a slash is a path and returned as it is. With a root
--- (as in /proc/PID/root) cache and libraries are those below it, and so is the answer: to be
--- opened by bpf.core's open_below, or links in it would lead to the caller's files.
---@param name string
---@param options { root: string?, cache: string? }?
---@return string? path
---@return bpf.error?
function library.find(name, options)
  local root <const> = options and options.root
  local function below_root(path)
    if not root then return path end
    return root .. (path:sub(1, 1) == "/" and "" or "/") .. path
  end
  if name:find("/", 1, true) then return below_root(name) end
  local cache_path <const> = options and options.cache or default_cache
  local cache, why = read_file(root, cache_path)
  if not cache then
    return fail("ENOENT", ("cannot look for library %s: %s"):format(name, why))
  end
  if not cache:find(magic, 1, true) then
    return fail("EBADMSG", ("cannot look for library %s: %s is no library cache"):format(name,
      cache_path))
  end
  local read, path = pcall(search, cache, name, root)
  if not read then
    return fail("EBADMSG", ("cannot look for library %s: %s is damaged"):format(name, cache_path))
  end
  if path then return below_root(path) end
  local _, err = fail("ENOENT", ("no library %s in %s"):format(name, cache_path))
  return nil, err:with_advice "a file is named by a path with a slash, as in ./program"
end

return library
