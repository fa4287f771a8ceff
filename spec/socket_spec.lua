-- Local sockets: bytes, descriptors, and who is on the other side.
local core = require "bpf.core"
local socket <const>, system <const> = core.socket, core.system
require "bpf.error"

local function temporary_directory()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkdir -m 0700 " .. path))
  return path
end

local function open_descriptors()
  local stat <close> = assert(io.open("/proc/self/stat"))
  local listing <close> = io.popen("ls /proc/" .. stat:read("n") .. "/fd")
  local count = 0
  for _ in listing:lines() do count = count + 1 end
  return count
end

describe("a local socket", function()
  local directory

  before_each(function() directory = temporary_directory() end)
  after_each(function() os.execute("rm -rf " .. directory) end)

  it("carries bytes both ways and says when the other side is gone", function()
    local left, right = socket.pair()
    assert.equal(5, left:send("hello"))
    assert.equal("hello", right:receive())
    assert.equal(3, right:send("xhow", nil, 2))
    assert.equal("how", left:receive())
    left:close()
    assert.equal("", right:receive())
    left:close()
    assert.has_error(function() left:send("x") end)
  end)

  it("never blocks, and waits only when told to", function()
    local left, right = socket.pair()
    local bytes, err = right:receive()
    assert.is_nil(bytes)
    assert.equal("EAGAIN", err.code)
    local ready
    ready, err = right:wait("r", 0)
    assert.is_nil(ready)
    assert.equal("ETIMEDOUT", err.code)
    left:send("x")
    assert.is_true(right:wait("r", 1))
    local big = string.rep("x", 1 << 20)
    assert.is_true(left:send(big) < #big)
  end)

  it("passes descriptors, which are the receiver's own", function()
    local left, right = socket.pair()
    local file <close> = assert(system.open("/proc/self/status"))
    assert.equal(1, left:send("x", { file, file:fd() }))
    file:close()
    local bytes, received = right:receive()
    assert.equal("x", bytes)
    assert.equal(2, #received)
    assert.not_equal(received[1]:fd(), received[2]:fd())
    assert.equal("file", system.facts(received[1]).kind)
    local info <close> = io.open("/proc/self/fdinfo/" .. received[1]:fd())
    local flags = info:read("a"):match("flags:%s*(%d+)")
    assert.not_equal(0, tonumber(flags, 8) & tonumber("2000000", 8))
    for _, descriptor in ipairs(received) do descriptor:close() end
  end)

  it("takes sixteen descriptors in one message and not one more", function()
    local left, right = socket.pair()
    local file <close> = assert(system.open("/dev/null"))
    local sixteen = {}
    for i = 1, 16 do sixteen[i] = file end
    left:send("x", sixteen)
    local _, received = right:receive()
    assert.equal(16, #received)
    for _, descriptor in ipairs(received) do descriptor:close() end
    sixteen[17] = file
    assert.has_error(function() left:send("x", sixteen) end)
  end)

  it("closes what it is passed and nobody keeps", function()
    local left, right = socket.pair()
    local file <close> = assert(system.open("/dev/null"))
    collectgarbage()
    local before = open_descriptors()
    for _ = 1, 10 do
      left:send("x", { file, file })
      right:receive()
    end
    collectgarbage()
    assert.equal(before, open_descriptors())
  end)

  it("ends a read at the message that carried descriptors", function()
    local left, right = socket.pair()
    local file <close> = assert(system.open("/dev/null"))
    left:send("one\n")
    left:send("two\n", { file })
    left:send("three\n")
    local bytes, received = right:receive()
    assert.equal("one\ntwo\n", bytes)
    assert.equal(1, #received)
    assert.equal("three\n", (right:receive()))
    received[1]:close()
  end)

  it("knows the other side's user, group, groups and process", function()
    local path = directory .. "/s"
    local listener <close> = assert(socket.listen(path, { mode = 438 }))
    local client <close> = assert(socket.connect(path, 1))
    local server <close> = assert(listener:accept())
    local peer = server:peer()
    local function id(option)
      local output <close> = io.popen("id " .. option)
      return output:read("n")
    end
    assert.equal(id "-u", peer.uid)
    assert.equal(id "-g", peer.gid)
    assert.equal(io.open("/proc/self/stat"):read("n"), peer.pid)
    assert.is_table(peer.groups)
    client:close()
  end)

  it("has the mode that was asked for, whatever the umask", function()
    local path = directory .. "/s"
    local listener <close> = assert(socket.listen(path, { mode = tonumber("660", 8) }))
    local mode <close> = io.popen("stat -c %a " .. path)
    assert.equal("660", mode:read("l"))
    assert.is_nil((listener:accept()))
  end)

  it("replaces a dead socket and respects a living one", function()
    local path = directory .. "/s"
    local first = assert(socket.listen(path))
    local second, err = socket.listen(path)
    assert.is_nil(second)
    assert.equal("EADDRINUSE", err.code)
    first:close()
    local third <close> = assert(socket.listen(path))
    assert.is_truthy(third:fd())
    local plain = directory .. "/plain"
    io.open(plain, "w"):close()
    local none
    none, err = socket.listen(plain)
    assert.is_nil(none)
    assert.equal("EEXIST", err.code)
  end)

  it("reaches paths longer than the kernel's 107 bytes", function()
    local deep = directory .. ("/" .. string.rep("d", 60)):rep(3)
    assert(os.execute("mkdir -p " .. deep))
    local listener <close> = assert(socket.listen(deep .. "/s"))
    local client <close> = assert(socket.connect(deep .. "/s", 1))
    local server <close> = assert(listener:accept())
    client:send("x")
    assert.equal("x", server:receive())
  end)

  it("says why it cannot connect", function()
    local none, err = socket.connect(directory .. "/none", 1)
    assert.is_nil(none)
    assert.equal("ENOENT", err.code)
    socket.listen(directory .. "/dead"):close()
    none, err = socket.connect(directory .. "/dead", 1)
    assert.is_nil(none)
    assert.equal("ECONNREFUSED", err.code)
    assert.matches("cannot connect to .*/dead: Connection refused", tostring(err))
  end)
end)
