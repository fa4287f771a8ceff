-- The daemon as a service: what it gives up, and what it and its service manager say to each other.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local daemon = require "spec.support.daemon"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

local BUILD <const> = os.getenv "BUILD"

local function status_of(pid)
  local file <close> = assert(io.open(("/proc/%d/status"):format(pid)))
  local found = {}
  for name, value in file:read("a"):gmatch "(%w+):%s*([^\n]*)" do found[name] = value end
  return found
end

local function number(hex) return tonumber(hex, 16) end

-- capability(7), by their bits
local CHOWN <const>, NET_ADMIN <const>, SYS_MODULE <const>, SYS_ADMIN <const> = 0, 12, 16, 21
local DAC_OVERRIDE <const>, SYS_BOOT <const>, BPF <const> = 1, 22, 39

local function has(set, bit) return set >> bit & 1 == 1 end

describe("a daemon gives up what it does not need:", function()
  local bpfd
  before_each(function() bpfd = daemon.start() end)
  after_each(function() bpfd:close() end)

  it("capabilities, but not those that load and attach", function()
    local facts = status_of(bpfd.pid)
    for _, set in ipairs { number(facts.CapEff), number(facts.CapPrm), number(facts.CapBnd) } do
      for _, bit in ipairs { CHOWN, NET_ADMIN, SYS_ADMIN, BPF } do
        assert.is_true(has(set, bit), "lacks " .. bit)
      end
      for _, bit in ipairs { DAC_OVERRIDE, SYS_MODULE, SYS_BOOT } do
        assert.is_false(has(set, bit), "has " .. bit)
      end
    end
    assert.equal(0, number(facts.CapInh))
    assert.equal(0, number(facts.CapAmb))
  end)

  it("gaining privileges, and system calls that it never makes", function()
    local facts = status_of(bpfd.pid)
    assert.equal("1", facts.NoNewPrivs)
    assert.equal("2", facts.Seccomp)
  end)

  it("and says at its start what it has kept", function()
    local log = bpfd:log_text()
    assert.matches("capabilities kept: [%w_, ]*bpf", log)
    assert.matches("none can be gained; %d%d system calls are refused", log)
  end)
end)

describe("a signal", function()
  local bpfd
  before_each(function() bpfd = daemon.start() end)
  after_each(function() bpfd:close() end)

  -- those that end it, that stop it, and that the kernel raises for a fault
  local meant <const> = { sigterm = true, sigint = true, sigkill = true, sigstop = true,
    sigtstp = true, sigttin = true, sigttou = true, sigsegv = true, sigbus = true, sigfpe = true,
    sigill = true, sigtrap = true, sigsys = true, sigabrt = true, sigiot = true }

  it("ends a daemon only if it is meant to", function()
    local sent = {}
    for name, value in pairs(uv.constants) do
      if name:find "^SIG" and not meant[name:lower()] then
        sent[#sent + 1] = name
        assert(uv.kill(bpfd.pid, value))
        assert(rpc.call(bpfd, "system.status"), name)
      end
    end
    for value = 34, 64 do assert(uv.kill(bpfd.pid, value)) end -- real-time signals
    assert(rpc.call(bpfd, "system.status"))
    table.sort(sent)
    assert.matches("SIGHUP.*SIGPIPE.*SIGQUIT.*SIGUSR1", table.concat(sent, " "))
  end)

  for _, name in ipairs { "sigterm", "sigint" } do
    it("of the kind " .. name .. " ends it in order, however often it comes", function()
      for _ = 1, 3 do
        repeat until not bpfd.process:alive() or not uv.kill(bpfd.pid, name)
        assert.equal(0, bpfd.process:wait())
        bpfd:restart()
      end
    end)
  end
end)

describe("a process that has given up system calls", function()
  -- in a process of its own, by the same functions as the daemon's
  local function confined(code)
    return process.run { "lua5.4", "-e", [[
      local core = require "bpf.core"
      assert(core.service.keep_capabilities { "bpf" })
      assert(core.service.refuse_calls())
    ]] .. code }
  end

  it("runs no other program", function()
    local result = confined 'print(os.execute "true")'
    assert.matches("^nil\tOperation not permitted", result.stdout)
  end)

  it("still forks, opens files and reads the clock", function()
    local result = confined [[
      local pid = core.system.fork {}
      if pid == 0 then core.system.leave(7) end
      print(core.system.wait(pid, true).code, io.open "/proc/self/status" ~= nil,
        core.system.clock() > 0)
    ]]
    assert.equal("7\ttrue\ttrue\n", result.stdout .. result.stderr)
  end)

  it("has no capability that it did not name", function()
    local result = confined 'print(table.concat(core.service.capabilities(), " "))'
    assert.equal("bpf\n", result.stdout)
  end)

  it("cannot name one that does not exist", function()
    local result = process.run { "lua5.4", "-e",
      'require("bpf.core").service.keep_capabilities { "bfp" }' }
    assert.matches("there is no capability bfp", result.stderr)
  end)
end)

describe("with a service manager", function()
  local directory, started

  before_each(function()
    directory = ("/tmp/bpfd-spec-%d-service"):format(uv.os_getpid())
    assert(uv.fs_mkdir(directory, 448))
    started = {}
  end)

  local function start(arguments, options)
    local child = process.start(arguments, options)
    started[#started + 1] = child
    return child
  end

  after_each(function()
    for i = #started, 1, -1 do
      started[i]:signal "sigterm"
      started[i]:wait()
    end
    process.run { "umount", "-l", directory .. "/run/fs" }
    process.check { "rm", "-rf", "--one-file-system", directory }
  end)

  local function read(path)
    local file <close> = io.open(path)
    return file and file:read "a" or ""
  end

  local function log_of() return read(directory .. "/log") end

  local function arguments_of()
    local list = { BUILD .. "/bpfd", "--config", directory .. "/bpfd.lua", "--run-dir",
      directory .. "/run", "--state-dir", directory .. "/state" }
    local config <close> = assert(io.open(directory .. "/bpfd.lua", "w"))
    config:write "return {}\n"
    return list
  end

  local function list(socket)
    return bpfctl.run(nil, { "list" }, { env = { BPFD_SOCKET = socket } })
  end

  it("a daemon says when it serves, that it lives, and when it stops", function()
    local heard <const>, notify <const> = directory .. "/heard", directory .. "/notify"
    start({ "socat", "-u", "UNIX-RECV:" .. notify, "STDOUT" }, { output = heard })
    assert.truthy(process.eventually(function() return uv.fs_stat(notify) end))
    local bpfd = start(arguments_of(), { output = directory .. "/log",
      env = { NOTIFY_SOCKET = notify, WATCHDOG_USEC = "20000" } })
    assert.truthy(process.eventually(function() return read(heard):find "READY=1" end))
    assert.truthy(process.eventually(function()
      return read(heard):find "WATCHDOG=1.*WATCHDOG=1"
    end))
    assert.equal(0, list(directory .. "/run/bpfd.sock").exit)
    bpfd:signal "sigterm"
    assert.equal(0, bpfd:wait())
    assert.truthy(process.eventually(function() return read(heard):find "STOPPING=1" end))
  end)

  it("a daemon serves on the socket that was opened for it, and leaves it there", function()
    local socket <const> = directory .. "/run/bpfd.sock"
    assert(uv.fs_mkdir(directory .. "/run", 493))
    start({ "systemd-socket-activate", "--listen=" .. socket, "--setenv=ASAN_OPTIONS",
      table.unpack(arguments_of()) },
      { output = directory .. "/log" })
    assert.truthy(process.eventually(function() return uv.fs_stat(socket) end))
    local inode = uv.fs_stat(socket).ino
    local result = list(socket)
    assert.equal(0, result.exit, result.stderr .. log_of())
    started[1]:signal "sigterm"
    assert.equal(0, started[1]:wait())
    assert.equal(inode, uv.fs_stat(socket).ino)
  end)

  it("a socket that the configuration does not name is closed and told", function()
    local socket <const> = directory .. "/other.sock"
    start({ "systemd-socket-activate", "--listen=" .. socket, "--setenv=ASAN_OPTIONS",
      table.unpack(arguments_of()) },
      { output = directory .. "/log" })
    assert.truthy(process.eventually(function() return uv.fs_stat(socket) end))
    list(socket)
    assert.truthy(process.eventually(function()
      return log_of():find "other.sock, which its configuration does not name"
    end))
  end)
end)
