-- Libraries by name, from the dynamic linker's cache.
local library = require "bpf.library"

local function listed(soname)
  local output <close> = io.popen "/sbin/ldconfig -p"
  local paths = {}
  for line in output:lines() do
    local name, path = line:match "^%s+(%S+) %(.*=> (.+)$"
    if name == soname then paths[path] = true end
  end
  return paths
end

local function write_cache(bytes)
  local path = os.tmpname()
  local file <close> = io.open(path, "wb")
  file:write(bytes)
  return path
end

-- A cache with these entries: soname, path, hwcap.
local function cache_of(entries)
  local strings, offsets, at = {}, {}, 48 + #entries * 24
  for _, entry in ipairs(entries) do
    for _, text in ipairs { entry[1], entry[2] } do
      offsets[#offsets + 1] = at
      strings[#strings + 1] = text .. "\0"
      at = at + #text + 1
    end
  end
  local parts = { ("=c20I4I4Bxxx I4 I4I4I4"):pack("glibc-ld.so.cache1.1", #entries,
    #table.concat(strings), 0, 0, 0, 0, 0) }
  for i, entry in ipairs(entries) do
    local soname, path = offsets[2 * i - 1], offsets[2 * i]
    parts[#parts + 1] = ("=i4I4I4I4I8"):pack(3, soname, path, 0, entry[3] or 0)
  end
  return table.concat(parts) .. table.concat(strings)
end

describe("a library", function()
  it("is found by its short name and by its soname, of our own architecture", function()
    local path = assert(library.find "libc")
    assert.is_true(listed("libc.so.6")[path])
    assert.equal(path, library.find "libc.so.6")
    local function machine(file_path)
      local file <close> = io.open(file_path, "rb")
      return file:read(20):sub(19)
    end
    assert.equal(machine "/proc/self/exe", machine(path))
  end)

  it("is not mistaken for another that begins alike", function()
    local exe = "/proc/self/exe"
    local path = write_cache(cache_of {
      { "libcrypt.so.1", "/no" }, { "libc.so.6", "/does/not/exist" }, { "libc.so.6", exe },
    })
    assert.equal(exe, library.find("libc", { cache = path }))
    assert.is_nil((library.find("libcry", { cache = path })))
    os.remove(path)
  end)

  it("is the plain build where the cache has tuned ones too, behind an old-format part", function()
    local path = write_cache(("ld.so-1.7.0\0"):rep(4) .. cache_of {
      { "libx.so.2", "/proc/self/exe", 1 << 62 }, { "libx.so.1", "/proc/thread-self/exe" },
    })
    assert.equal("/proc/thread-self/exe", library.find("libx", { cache = path }))
    os.remove(path)
  end)

  it("may be given as a path", function()
    assert.equal("./x", library.find "./x")
    assert.equal("/lib/libc.so.6", library.find "/lib/libc.so.6")
  end)

  it("is looked for below another root where one is given", function()
    local root = ("/proc/%d/root"):format(require("bpf.core").system.identity().pid)
    assert.equal(root .. library.find "libc", library.find("libc", { root = root }))
    assert.equal(root .. "/bin/true", library.find("/bin/true", { root = root }))
  end)

  it("that nobody knows is a clear error", function()
    local path, err = library.find "libnosuchthing"
    assert.is_nil(path)
    assert.equal("ENOENT", err.code)
    assert.equal("no library libnosuchthing in /etc/ld.so.cache", err.message)
    assert.matches("slash", err.advice)
  end)

  it("cannot be looked for without a cache, in a foreign file or in a damaged one", function()
    local none, err = library.find("libc", { cache = "/does/not/exist" })
    assert.is_nil(none)
    assert.equal("cannot look for library libc: /does/not/exist: No such file or directory",
      err.message)
    local path = write_cache "text"
    none, err = library.find("libc", { cache = path })
    assert.is_nil(none)
    assert.matches("is no library cache$", err.message)
    os.remove(path)
    path = write_cache(cache_of({ { "libc.so.6", "/x" } }):sub(1, 60))
    none, err = library.find("libc", { cache = path })
    assert.is_nil(none)
    assert.matches("is damaged$", err.message)
    os.remove(path)
  end)
end)
