-- Clients that mean harm, or are broken: what they do costs them something, and nobody else. They
-- are another user's; meanwhile somebody's requests are all answered right.
local uv = require "luv"
local core = require "bpf.core"
local crowd = require "spec.support.crowd"
local daemon = require "spec.support.daemon"
local files = require "spec.support.files"
local load = require "spec.support.load"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local NOBODY <const> = "65534"
local CONNECTIONS <const> = 64 -- that the daemon takes
local CLIENTS <const> = 3 -- of the one who means well

-- What every attack has: attempts that may fail, connections, lines.
local PRELUDE <const> = [[
local core, uv = require "bpf.core", require "luv"
local broken_pipe = uv.new_signal()
broken_pipe:start("sigpipe", function() end)
local kept = {}
local function connect()
  local socket = core.socket.connect(%q, 10)
  kept[#kept + 1] = socket
  return socket
end
local function send(socket, text, descriptors)
  return socket and socket:send(text, descriptors, 1)
end
local function line(method, params)
  return ('{"jsonrpc":"2.0","id":1,"method":"%%s","params":%%s}\n'):format(method, params or "{}")
end
local load = line("program.load", '{"fd":0,"name":"takes_long","attach":{"type":"tracepoint",'
  .. '"tracepoint":"syscalls/sys_enter_getpgid"}}')
local object = assert(core.system.open(%q))
local function ready()
  io.stdout:write "ready\n"
  io.stdout:flush()
end
]]

describe("a client that", function()
  local near, served, before

  setup(function()
    near = namespace.new()
    near:check { "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1" }
    served = daemon.start { namespace = near, log_level = "error", config = function(directory)
      return ([[return { listen = { { path = "%s/run/bpfd.sock", mode = "0666" } },
        limits = { connections = %d, idle = "2s" } }]]):format(directory, CONNECTIONS)
    end }
    before = residue.scan(served)
  end)

  teardown(function()
    served:close()
    near:close()
  end)

  local function descriptors()
    local count, scan = 0, assert(uv.fs_scandir(("/proc/%d/fd"):format(served.pid)))
    while uv.fs_scandir_next(scan) do count = count + 1 end
    return count
  end

  -- Runs an attack, and beside it, from when it is in place, rounds of loads whose every answer is
  -- checked. Afterwards nothing is left of either.
  local function attack(code)
    local output <const>, descriptors_before <const> = os.tmpname(), descriptors()
    local attacker = process.start({ "setpriv", "--reuid=" .. NOBODY, "--regid=" .. NOBODY,
      "--clear-groups", "--", "lua5.4", "-e",
      PRELUDE:format(served.socket, rpc.object) .. code }, { output = output })
    local is_ready = process.eventually(function()
      return files.read(output):find "^ready" or not attacker:alive()
    end, 30000)
    local rounds = is_ready and load.run(served.socket, { clients = CLIENTS, rounds = 1,
      ifaces = { "veth0" } })
    attacker:signal "sigkill"
    attacker:wait()
    local said <const> = files.read(output)
    os.remove(output)
    assert.equal("ready\n", said)
    assert.equal(CLIENTS, rounds)
    process.eventually(function() return descriptors() <= descriptors_before end)
    assert.is_true(descriptors() <= descriptors_before)
    assert.equal(before, residue.settled(served, before))
  end

  it("stalls in the middle of a line, on every connection that there is", function()
    attack(([[
      for i = 1, %d do send(connect(), '{"jsonrpc":') end
      ready()
      while true do send(connect(), '{"jsonrpc":'); uv.sleep(10) end
    ]]):format(2 * CONNECTIONS))
  end)

  it("keeps every connection busy with loads that take long", function()
    attack(([[
      for i = 1, %d do send(connect(), load, { object }) end
      ready()
      uv.sleep(60000)
    ]]):format(CONNECTIONS))
  end)

  it("asks and asks, and reads no answer", function()
    attack [[
      for i = 1, 8 do connect() end
      local lines = line("program.list"):rep(500)
      for i = 1, 20 do
        for _, socket in ipairs(kept) do send(socket, lines) end
      end
      ready()
      while true do
        for _, socket in ipairs(kept) do send(socket, lines) end
        uv.sleep(1)
      end
    ]]
  end)

  it("floods with bytes that are no requests", function()
    attack [[
      local noise = ("\0\255{[\"x"):rep(10000)
      ready()
      while true do
        for i = 1, 4 do send(connect(), i % 2 == 0 and noise or noise .. "\n") end
        kept = {}
        collectgarbage()
        uv.sleep(1)
      end
    ]]
  end)

  it("hangs up at once, with requests under way", function()
    attack [[
      local function hang_up()
        local socket = connect()
        send(socket, load, { object })
        if socket then socket:close() end
        kept = {}
      end
      for i = 1, 50 do hang_up() end
      ready()
      while true do hang_up(); uv.sleep(5) end
    ]]
  end)

  it("passes as many descriptors as it can, and asks for nothing", function()
    attack [[
      local list = {}
      for i = 1, 16 do list[i] = object end
      for i = 1, 20 do
        local socket = connect()
        for j = 1, 70 do send(socket, line("request.stage"), list) end
      end
      ready()
      uv.sleep(60000)
    ]]
  end)

  -- What is no object file is said to be none, at once: nothing is waited for, read from or kept.
  local from, to = core.system.pipe()
  local left, right = core.socket.pair()
  local wrong <const> = {
    ["a pipe"] = from, ["a pipe's other end"] = to, ["a socket"] = left, ["its peer"] = right,
    ["a directory"] = core.system.open("/", "path"), ["a device without end"] = core.system.open
      "/dev/zero", ["a device without beginning"] = core.system.open "/dev/null",
    ["an empty file"] = core.system.seal("", 1, "empty"),
    ["a file of noise"] = core.system.seal(("noise"):rep(1000), 5000, "noise"),
    ["the memory of a process"] = core.system.open "/proc/self/mem",
    ["a namespace"] = core.system.open "/proc/self/ns/net",
  }
  for what, descriptor in pairs(wrong) do
    it("passes " .. what .. " where an object file is due is told so", function()
      local descriptors_before <const> = descriptors()
      local refused, err = rpc.call(served, "program.load", { fd = 0, name = "count_call",
        attach = { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" } },
        { descriptors = { descriptor } })
      assert.is_nil(refused)
      assert.is_string(err.code, tostring(err))
      assert.not_equal("EFAULT", err.code)
      process.eventually(function() return descriptors() <= descriptors_before end)
      assert.is_true(descriptors() <= descriptors_before)
      assert.equal(before, residue.settled(served, before))
    end)
  end

  it("sends several requests of which one is broken has the others answered", function()
    local answers = {}
    crowd.run(1, function()
      local client <close> = crowd.connect(served.socket)
      client:send('{"jsonrpc":"2.0","id":1,"method":"program.list"}\n'
        .. '{"jsonrpc":"2.0","id":2,"method":"program.lost"}\n'
        .. '{"jsonrpc":"2.0","id":3,"method":"program.list"}\n{"jsonrpc":\n'
        .. '{"jsonrpc":"2.0","id":4,"method":"program.list"}\n')
      for _ = 1, 5 do
        local answer = client:message()
        local code <const> = answer and answer.error and answer.error.code
        answers[#answers + 1] = code or answer and answer.id or "end"
      end
    end)
    assert.same({ 1, -32601, 3, -32700, "end" }, answers)
  end)
end)
