-- Pulls that take a while: shared, cancelled, killed, resumed; and a registry that hangs, which
-- holds up nobody else.
local uv = require "luv"
local core = require "bpf.core"
local image = require "bpf.image"
local bpfctl = require "spec.support.bpfctl"
local daemon = require "spec.support.daemon"
local files = require "spec.support.files"
local layout_server = require "spec.support.layout_server"
local namespace = require "spec.support.namespace"
local oci = require "spec.support.oci"
local process = require "spec.support.process"
local pty = require "spec.support.pty"
local rpc = require "spec.support.rpc"

local ACCEPT <const> = assert(uv.fs_realpath(bpfctl.examples)) .. "/accept-all.o"

-- Bytes that gzip cannot make smaller.
local function noise(size)
  local file <close> = assert(io.open("/dev/urandom", "rb"))
  return file:read(size)
end

describe("a pull that takes a while", function()
  local directory = ("/tmp/bpfd-spec-%d-pulls"):format(uv.os_getpid())
  local layout <const>, down <const> = directory .. "/layout", directory .. "/down"
  local near, far, slow, hanging, bpfd

  setup(function()
    assert(uv.fs_mkdir(directory, 448))
    near, far = namespace.new(), namespace.new()
    namespace.join(near, far, "veth0")
    -- a second or so at this pace
    oci.put(layout, "any/slow:1", { labels = { ["io.ebpf.programs"] = '{"accept":"tc"}' },
      layers = { oci.layer { { name = "accept.o", data = files.read(ACCEPT) },
        { name = "noise", data = noise(4 << 20) } } } })
    slow = layout_server.start(layout, { pace = 32768, down = down })
    hanging = require("spec.support.http_server").start(
      "return function() return { body = 'x', truncate = 0, stall = true } end")
    bpfd = daemon.start { config = ([[return { registries = { ["%s"] = { plain_http = true },
      ["%s"] = { plain_http = true } }, images = { timeout = "60s" } }]]):format(slow.host,
      hanging.host) }
  end)

  teardown(function()
    for _, each in ipairs { bpfd or false, slow or false, hanging or false, near, far } do
      if each then each:close() end
    end
    process.check { "rm", "-rf", directory }
  end)

  after_each(function()
    os.remove(down)
    rpc.unload_all(bpfd)
    bpfd:check("image", "prune", "--all")
  end)

  local function url() return slow.host .. "/any/slow:1" end

  local function partial(of) return (of or bpfd).state_dir .. "/images/partial" end

  -- What is there of the layer so far.
  local function got(of)
    for _, name in ipairs(core.system.list(partial(of)) or {}) do
      local facts = name:find "^sha256:" and core.system.facts(partial(of) .. "/" .. name)
      if facts and facts.size > 0 then return facts.size end
    end
    return nil
  end

  local function start(...)
    return process.start({ bpfctl.path, "--socket", bpfd.socket, ... },
      { output = directory .. "/output" })
  end

  local function start_pull() return start("pull-bytecode", "-i", url()) end

  local function await_half()
    assert(process.eventually(function()
      local size = got()
      return size and size > 300000
    end, 20000))
  end

  -- How often the layer was asked for, and from which byte on.
  local function asked_for()
    local list = {}
    for _, request in ipairs(slow:requests()) do
      if request.path:find "/blobs/" and request.method == "GET" then
        local range = request.headers.range
        list[#list + 1] = { path = request.path, from = range and tonumber(range:match "%d+") or 0 }
      end
    end
    local layers = {}
    local manifest = require("bpf.json").decode(process.check { "skopeo", "inspect", "--raw",
      "oci:" .. layout .. ":any/slow:1" })
    for _, each in ipairs(list) do
      if each.path:find(manifest.layers[1].digest, 1, true) then layers[#layers + 1] = each.from end
    end
    return layers
  end

  local function is_whole()
    local store = assert(image.store.open(bpfd.state_dir .. "/images"))
    for _, hex in ipairs(core.system.list(store.path .. "/blobs/sha256")) do
      if store.digest_of(files.read(store.path .. "/blobs/sha256/" .. hex)) ~= "sha256:" .. hex then
        return false
      end
    end
    return true
  end

  it("is one download for all who ask", function()
    local before = #asked_for()
    local pulls = {}
    for i = 1, 6 do pulls[i] = start_pull() end
    for i = 7, 8 do pulls[i] = start("pull-bytecode", "-p", "Always", "-i", url()) end
    for _, pull in ipairs(pulls) do assert.equal(0, pull:wait(60000)) end
    assert.equal(1, #asked_for() - before)
  end)

  it("is one download for several processes with one store", function()
    local before = #asked_for()
    local script = ([[
      local bpf = require "bpf"
      assert(bpf.image.pull.run { store = assert(bpf.image.store.open(%q)),
        reference = assert(bpf.registry.parse(%q)),
        settings = { registries = { [%q] = { plain_http = true } } } })]])
      :format(directory .. "/own", url(), slow.host)
    local pulls = {}
    for i = 1, 3 do
      pulls[i] = process.start({ "lua5.4", "-e", script }, { output = directory .. "/output" })
    end
    for _, pull in ipairs(pulls) do
      assert.equal(0, pull:wait(60000), files.read(directory .. "/output"))
    end
    assert.equal(1, #asked_for() - before)
    process.check { "rm", "-rf", directory .. "/own" }
  end)

  it("ends with Ctrl-C, and the next one goes on from there", function()
    local before = #asked_for()
    local pull = start_pull()
    await_half()
    pull:signal "sigint"
    assert.equal(128 + 2, pull:wait())
    assert(process.eventually(function() -- nobody pulls any more
      return rpc.call(bpfd, "system.status").jobs == 0
    end))
    local half = got()
    assert.is_true(half > 300000)
    assert.same({}, bpfd:json("image", "list"))
    bpfd:check("pull-bytecode", "-i", url())
    local asked = asked_for()
    assert.equal(2, #asked - before)
    assert.equal(half, asked[#asked])
    assert.is_nil(got())
    assert.equal("accept", bpfd:json("load-from-image", "-p", "Never", "-i", url(), "tc", "-d",
      "ingress", "-i", "lo", "-p", "50").name)
  end)

  it("is cancelled while it waits for its turn", function()
    local pulls = {}
    for i = 1, 6 do
      pulls[i] = start("pull-bytecode", "-i", ("%s/any/x%d:1"):format(hanging.host, i))
    end
    assert(process.eventually(function() return rpc.call(bpfd, "system.status").jobs == 4 end))
    for i = 6, 1, -1 do
      pulls[i]:signal "sigint"
      assert.equal(128 + 2, pulls[i]:wait())
    end
    assert(process.eventually(function() return rpc.call(bpfd, "system.status").jobs == 0 end))
  end)

  it("holds up no load from a file, and no load of a stored image", function()
    bpfd:check("pull-bytecode", "-i", url())
    local pulls = {}
    for i = 1, 6 do
      pulls[i] = start("pull-bytecode", "-i", ("%s/any/x%d:1"):format(hanging.host, i))
    end
    assert(process.eventually(function() return rpc.call(bpfd, "system.status").jobs == 4 end))
    local place <const> = { "tc", "-d", "ingress", "-i", "lo", "-p", "50" }
    for _ = 1, 3 do
      bpfd:check("load-from-file", "-p", ACCEPT, "-n", "accept", table.unpack(place))
      bpfd:check("load-from-image", "-i", url(), table.unpack(place))
    end
    assert.equal(6, #bpfd:json "list")
    for _, pull in ipairs(pulls) do
      assert.is_true(pull:alive())
      pull:signal "sigint"
      pull:wait()
    end
    assert(process.eventually(function() return rpc.call(bpfd, "system.status").jobs == 0 end))
  end)

  it("does not keep bpfd from stopping", function()
    local pull = start_pull()
    await_half()
    local started = uv.hrtime()
    assert.equal(0, bpfd:stop())
    assert.is_true((uv.hrtime() - started) / 1e9 < 10)
    assert.equal(1, pull:wait())
    bpfd:restart()
    assert.is_true(got() > 300000)
    bpfd:check("pull-bytecode", "-i", url())
  end)

  it("fails where the registry is down, with nothing but the half of it kept", function()
    local pull = start_pull()
    await_half()
    pull:signal "sigint"
    pull:wait()
    local file = assert(io.open(down, "w"))
    file:close()
    local result = bpfd:bpfctl("pull-bytecode", "-i", url())
    assert.equal(1, result.exit)
    assert.matches(url():gsub("[%.%-]", "%%%0") .. ".*500", result.stderr)
    assert.is_true(got() > 300000)
    os.remove(down)
    bpfd:check("pull-bytecode", "-i", url())
    file = assert(io.open(down, "w"))
    file:close()
    local load <const> = { "load-from-image", "-i", url() }
    local place <const> = { "tc", "-d", "ingress", "-i", "lo", "-p", "50" }
    local function try(policy)
      local line = { table.unpack(load) }
      line[#line + 1], line[#line + 2] = "-p", policy
      table.move(place, 1, #place, #line + 1, line)
      return bpfd:bpfctl(table.unpack(line)).exit
    end
    assert.equal(0, try "IfNotPresent")
    assert.equal(0, try "Never")
    assert.equal(1, try "Always")
    bpfd:check("load-from-file", "-p", ACCEPT, "-n", "accept", table.unpack(place))
  end)

  it("leaves whole blobs or none when bpfd is killed at any moment", function()
    math.randomseed(11)
    local sizes = 0
    for round = 1, 12 do
      local pull = start_pull()
      if round % 2 == 0 then pcall(await_half) end -- or it was at its end before
      uv.sleep(math.random(0, 400))
      bpfd:kill()
      pull:wait()
      bpfd:restart()
      assert.is_true(is_whole())
      for _, each in ipairs(bpfd:json("image", "list")) do assert.is_nil(each.problem) end
      sizes = math.max(sizes, got() or 0)
      if #bpfd:json("image", "list") > 0 then bpfd:check("image", "prune", "--all") end
    end
    assert.is_true(sizes > 0)
    bpfd:check("pull-bytecode", "-i", url())
    assert.is_true(is_whole())
    assert.is_nil(got())
  end)

  it("shows a bar on a terminal, which is gone at the end", function()
    local terminal <close> = pty.start(("%s --socket %s pull-bytecode -i %s"):format(bpfctl.path,
      bpfd.socket, url()), { TERM = "xterm" })
    terminal:wait_for "pulling ["
    terminal:wait_for "MiB"
    local rest = terminal:wait_for "Successfully downloaded bytecode"
    assert.equal(0, terminal:wait())
    assert.matches("\r\27%[KSuccess", rest)
  end)

  it("shows lines elsewhere", function()
    local result = bpfd:bpfctl("pull-bytecode", "-i", url())
    assert.equal("Successfully downloaded bytecode\n", result.stdout)
    local count = 0
    for line in result.stderr:gmatch "([^\n]*)\n" do
      assert.matches("^pulling " .. url():gsub("[%.%-]", "%%%0") .. ": %d.* of 4%.0 MiB$", line)
      count = count + 1
    end
    assert.is_true(count >= 3 and count <= 5)
  end)

  it("keeps within the limit of the store, and nothing that a program needs goes", function()
    local other = daemon.start { config = ([[return { registries = { ["%s"] =
      { plain_http = true } }, images = { size = "6MiB" } }]]):format(slow.host) }
    local ok, failure = pcall(function()
      for i = 2, 4 do
        oci.put(layout, "any/slow:" .. i, { labels = { ["io.ebpf.programs"] = '{"accept":"tc"}' },
          layers = { oci.layer { { name = "accept.o", data = files.read(ACCEPT) },
            { name = "noise", data = noise(2 << 20) } } } })
      end
      local function name(i) return slow.host .. "/any/slow:" .. i end
      other:check("load-from-image", "-i", name(2), "tc", "-d", "ingress", "-i", "lo", "-p", "50")
      other:check("pull-bytecode", "-i", name(3))
      other:check("pull-bytecode", "-i", name(4))
      assert.equal(("%s\n%s\n"):format(name(2), name(4)), other:check("-q", "image", "list"))
      other:check("pull-bytecode", "-i", name(3))
      assert.equal(("%s\n%s\n"):format(name(2), name(3)), other:check("-q", "image", "list"))
      rpc.unload_all(other)
    end)
    other:close()
    assert(ok, failure)
  end)

  it("keeps what a program needs that was loaded while it went on", function()
    local other <close> = daemon.start { config = ([[return { registries = { ["%s"] =
      { plain_http = true } }, images = { size = "1MiB" } }]]):format(slow.host) }
    oci.put(layout, "any/slow:9", { labels = { ["io.ebpf.programs"] = '{"accept":"tc"}' },
      layers = { oci.layer { { name = "accept.o", data = files.read(ACCEPT) } } } })
    local small <const> = slow.host .. "/any/slow:9"
    other:check("pull-bytecode", "-i", small)
    local pull = process.start({ bpfctl.path, "--socket", other.socket, "pull-bytecode", "-i",
      url() }, { output = directory .. "/output" })
    assert(process.eventually(function()
      return got(other) and got(other) > 300000
    end, 20000))
    slow.process:signal "sigstop"
    local result = other:bpfctl("load-from-image", "-i", small, "tc", "-d", "ingress", "-i", "lo",
      "-p", "50")
    slow.process:signal "sigcont"
    assert.equal(0, result.exit, result.stderr)
    assert.is_true(pull:alive())
    assert.equal(0, pull:wait())
    local list = other:check("-q", "image", "list")
    rpc.unload_all(other)
    assert.equal(("%s\n%s\n"):format(url(), small), list)
  end)
end)
