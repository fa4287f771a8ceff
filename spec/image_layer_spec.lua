-- Layers: which objects are taken out of them, and what is refused before it costs anything.
local core = require "bpf.core"
local layer = require "bpf.image.layer"
local process = require "spec.support.process"
local tar = require "spec.support.tar"

local OBJECT_SIZE <const> = 1 << 20

local function read_object(name)
  local file <close> = assert(io.open(os.getenv "BUILD" .. "/objects/" .. name, "rb"))
  return file:read "a"
end

local function read(bytes, object_size)
  local descriptor <close> = tar.descriptor(bytes)
  return layer.read(descriptor, object_size or OBJECT_SIZE)
end

local function bytes_of(descriptor)
  local file <close> = assert(io.open("/proc/self/fd/" .. descriptor:fd(), "rb"))
  return file:read "a"
end

-- What Linux calls resident at the most so far, in bytes.
local function peak_memory()
  local file <close> = assert(io.open "/proc/self/status")
  return tonumber(file:read("a"):match "VmHWM:%s+(%d+) kB") * 1024
end

local function zstd(bytes)
  return process.check({ "zstd", "-q", "-c" }, { stdin = bytes })
end

describe("a layer", function()
  local elf = read_object "return_only.o"

  for name, compress in pairs { plain = function(bytes) return bytes end, gzip = tar.gzip,
    zstd = zstd } do
    it(("is read, %s"):format(name), function()
      local objects = assert(read(compress(tar.archive {
        { name = "./", type = "directory" }, { name = "README", data = "read me" },
        { name = "./sub/x.o", data = elf }, { name = "tool", data = "\127ELF no object" },
      })))
      assert.equal(1, #objects)
      assert.equal("./sub/x.o", objects[1].path)
      assert.equal(#elf, objects[1].size)
      assert.is_true(elf == bytes_of(objects[1].object))
    end)
  end

  it("gives sealed memory, which nobody can change", function()
    local objects = assert(read(tar.archive { { name = "x.o", data = elf } }))
    local path = "/proc/self/fd/" .. objects[1].object:fd()
    local file = io.open(path, "r+b")
    assert.is_nil(file and file:setvbuf "no" and file:write "x")
  end)

  it("may lack what should follow its last entry, as umoci's do", function()
    local whole = tar.entry { name = "x.o", data = elf .. "more" }
    for _, missing in ipairs { 0, 1, 17, -(#elf + 4) % 512 } do
      local objects = assert(read(tar.gzip(whole:sub(1, #whole - missing))))
      assert.equal(#elf + 4, objects[1].size)
    end
    assert.is_nil(read(tar.gzip(whole:sub(1, #elf + 512))))
  end)

  it("may have no object", function()
    assert.same({}, read(tar.archive { { name = "README", data = "read me" } }))
    assert.same({}, read(tar.archive {}))
  end)

  it("gives every object there is", function()
    local objects = assert(read(tar.archive {
      { name = "a.o", data = elf }, { name = "b.o", data = read_object "daemon.o" },
    }))
    assert.equal(2, #objects)
    assert.equal("b.o", objects[2].path)
  end)

  local function many(count)
    local entries = {}
    for i = 1, count do entries[i] = { name = "file" .. i, data = "x" } end
    return entries
  end

  local object = { name = "x.o", data = elf }
  local refused <const> = {
    { "an absolute path", { { name = "/etc/passwd", data = "x" } },
      "its entry /etc/passwd has an absolute path" },
    { "an absolute path behind the object", { object, { name = "/x", data = "x" } },
      "its entry /x has an absolute path" },
    { "a path that leads out", { { name = "../x.o", data = elf } },
      "its entry ../x.o leads out of it" },
    { "a path that leads out in its middle", { { name = "a/../../x.o", data = elf } },
      "its entry a/../../x.o leads out of it" },
    { "a directory above", { { name = "a/..", type = "directory" } },
      "its entry a/.. leads out of it" },
    { "a link", { { name = "x.o", type = "link", target = "/etc/shadow" } },
      "its entry x.o is a link" },
    { "a hard link", { object, { name = "y.o", type = "hard_link", target = "x.o" } },
      "its entry y.o is a link" },
    { "a device", { { name = "sda", type = "block_device" } },
      "its entry sda is neither file nor directory" },
    { "a character device", { { name = "mem", type = "character_device" } },
      "its entry mem is neither file nor directory" },
    { "a FIFO", { { name = "pipe", type = "fifo" } },
      "its entry pipe is neither file nor directory" },
    { "no name", { { name = "", data = "x" } }, "it has an entry whose name cannot be read" },
    { "ten thousand entries", many(10000), "it has more than 1000 entries" },
    { "an object over the limit", { { name = "x.o", data = elf .. ("\0"):rep(OBJECT_SIZE) } },
      "its object x.o is larger than 1048576 bytes %(images.object_size%)" },
    { "many objects", (function()
      local entries = {}
      for i = 1, 17 do entries[i] = { name = i .. ".o", data = elf } end
      return entries
    end)(), "it has more than 16 eBPF objects" },
    { "a size that lies", { { name = "x.o", data = elf, size = 1 << 30 } },
      "it is no whole tar archive" },
    { "a negative size", { { name = "x.o", data = elf, raw_size = ("\255"):rep(12) } },
      "it is no whole tar archive" },
  }
  for _, case in ipairs(refused) do
    it("is refused with " .. case[1], function()
      local objects, err = read(tar.gzip(tar.archive(case[2])))
      assert.is_nil(objects)
      assert.matches("^its layer is refused: " .. case[3], err.message)
      assert.equal("EBADMSG", err.code)
    end)
  end

  it("is refused when it is no archive, or none to its end", function()
    local packed = tar.gzip(tar.archive { object })
    for text, bytes in pairs {
      ["it is no whole tar archive: truncated gzip input"] = packed:sub(1, #packed // 2),
      ["it is no whole tar archive: Unrecognized archive format"] = "no archive at all",
      ["it is compressed twice"] = tar.gzip(packed),
    } do
      local objects, err = read(bytes)
      assert.is_nil(objects)
      assert.equal("its layer is refused: " .. text, err.message)
    end
  end)

  it("is read in no more memory than an object may have, whatever it unpacks to", function()
    -- 4 GiB in 4 MiB, as an entry that is no object and as one that is
    local zeros = ("\0"):rep(1 << 24)
    local block = tar.gzip(zeros)
    local bombs = {
      tar.gzip(tar.entry { name = "zeros", size = 1 << 32 }) .. block:rep(256),
      tar.gzip(tar.entry { name = "x.o", size = 1 << 32, data = elf }) .. block:rep(256),
    }
    zeros = nil -- luacheck: ignore
    collectgarbage()
    local before = peak_memory()
    local texts = { "it unpacks to more than %d+ bytes", "its object x.o is larger than" }
    for i, bomb in ipairs(bombs) do
      local objects, err = read(bomb)
      assert.is_nil(objects)
      assert.matches(texts[i], err.message)
    end
    assert.is_true(peak_memory() - before < 16 << 20)
  end)

  it("is refused for holes that would be larger than the limit", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write(elf)
    file:seek("set", 1 << 40)
    file:write "x"
    file:close()
    local packed = process.check { "tar", "--sparse", "-C", path:match "^(.*)/", "-czf", "-",
      path:match "[^/]*$" }
    os.remove(path)
    local objects, err = read(packed)
    assert.is_nil(objects)
    assert.matches("is larger than 1048576 bytes", err.message)
  end)

  it("never costs more than an error, whatever is in it", function()
    math.randomseed(20240611)
    local packed = tar.archive { object, { name = "README", data = "read me" } }
    for _ = 1, 400 do
      local bytes = packed
      for _ = 1, math.random(1, 8) do
        local at = math.random(1, math.min(#bytes, 1100))
        bytes = bytes:sub(1, at - 1) .. string.char(math.random(0, 255)) .. bytes:sub(at + 1)
      end
      local objects, err = read(bytes)
      assert.is_true(objects ~= nil or err.message ~= nil)
    end
  end)

  it("is compressed to the same bytes at any time", function()
    local archive = tar.archive { object }
    local first = tar.gzip(archive)
    core.system.read(assert(core.system.open "/dev/null")) -- time may pass
    assert.is_true(first == tar.gzip(archive))
    assert.equal("\0\0\0\0", first:sub(5, 8))
  end)
end)
