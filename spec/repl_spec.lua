-- The REPL: on a terminal, from a pipe, and with -e.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local folder = require "spec.support.folder"
local pty = require "spec.support.pty"

local function run(arguments, stdin, env)
  return bpfctl.run(nil, { "repl", table.unpack(arguments) }, {
    stdin = stdin, env = env or { BPFD_SOCKET = "/run/none.sock" },
  })
end

describe("bpfctl repl -e", function()
  for _, case in ipairs {
    { "shows an expression", { "1 + 1" }, "2\n" },
    { "shows all values", { "1, nil, 'x'" }, '1\tnil\t"x"\n' },
    { "takes = before an expression", { "= 5 // 2" }, "2\n" },
    { "runs statements", { "x = 5", "x" }, "5\n" },
    { "shows nothing for nothing", { "(function() end)()" }, "" },
    { "has bpf at hand", { "bpf.verdict.encode('xdp', { 'drop' })" }, "2\n" },
    { "tells that there is no daemon", { "client:call 'program.list'" },
      "nil\terror ENOENT: no bpfd at /run/none.sock; sudo systemctl start bpfd, or sudo bpfd\n" },
  } do
    it(case[1], function()
      local arguments = {}
      for _, code in ipairs(case[2]) do
        arguments[#arguments + 1] = "-e"
        arguments[#arguments + 1] = code
      end
      local result = run(arguments)
      assert.equal("", result.stderr)
      assert.equal(case[3], result.stdout)
      assert.equal(0, result.exit)
    end)
  end

  it("says where it went wrong, and leaves with 1", function()
    local result = run { "-e", "local function f() error 'no' end f()", "-e", "print 'never'" }
    assert.equal("bpfctl: line:1: no\nstack traceback:\n\t[C]: in function 'error'\n"
      .. "\tline:1: in local 'f'\n\tline:1: in upvalue 'chunk'\n", result.stderr)
    assert.equal("", result.stdout)
    assert.equal(1, result.exit)
  end)

  it("calls half a line a mistake", function()
    local result = run { "-e", "for i = 1, 2 do" }
    assert.equal("bpfctl: line:1: 'end' expected near <eof>\n", result.stderr)
    assert.equal(1, result.exit)
  end)

  it("can tell an error object as JSON", function()
    local result = run { "-o", "json", "-e", "error(bpf.error.new { message = 'm', code = 'C' })" }
    assert.truthy(result.stderr:find('{"error":{"code":"C","message":"m"', 1, true))
  end)
end)

describe("bpfctl repl from a pipe", function()
  it("takes line after line, and some of them together", function()
    local result = run({}, "t = {}\nfor i = 1, 3 do\n  t[i] = i * i\nend\n\n= t\n#t\n")
    assert.equal("{ 1, 4, 9 }\n3\n", result.stdout)
    assert.equal(0, result.exit)
  end)

  it("ends at the first error", function()
    local result = run({}, "1\nerror 'no'\n2\n")
    assert.equal("1\n", result.stdout)
    assert.equal(1, result.exit)
    result = run({}, "1\nfor\n")
    assert.equal("bpfctl: line:1: <name> expected near <eof>\n", result.stderr)
    assert.equal(1, result.exit)
  end)

  it("says so when there is nothing to read from", function()
    local result = require "spec.support.process".run { "/bin/sh", "-c",
      bpfctl.path .. " repl <&-" }
    assert.equal("bpfctl: cannot read standard input: Bad file descriptor\n",
      result.stderr)
    assert.equal(1, result.exit)
  end)
end)

describe("bpfctl repl on a terminal", function()
  local home, terminal

  local function start(env, before)
    local merged = { XDG_STATE_HOME = home.path, TERM = "xterm", NO_COLOR = "1", HOME = home.path,
      BPFD_SOCKET = "/run/none.sock" }
    for name, value in pairs(env or {}) do merged[name] = value end
    terminal = pty.start((before or "") .. bpfctl.path .. " repl", merged)
    terminal:wait_for "Ctrl-D leaves"
    terminal:wait_for "> "
  end

  before_each(function() home = folder.new() end)
  after_each(function()
    terminal:close()
    home:close()
  end)

  local function leave()
    assert.equal(0, terminal:leave())
  end

  it("shows values, takes several lines, and leaves with Ctrl-D", function()
    start()
    terminal:type "40 + 2\n"
    terminal:wait_for "\r\n42\r\n"
    terminal:type "for i = 1, 2 do\n"
    terminal:wait_for ">> "
    terminal:type "print(i * 111) end\n"
    terminal:wait_for "111\r\n222\r\n"
    leave()
  end)

  it("shows an error with its traceback and goes on", function()
    start()
    terminal:type "error 'oh'\n"
    terminal:wait_for "line:1: oh\r\nstack traceback:\r\n"
    terminal:type "6 * 7\n"
    terminal:wait_for "\r\n42\r\n"
    leave()
  end)

  for _, case in ipairs {
    { "a loop", "while true do end" },
    { "a loop in a coroutine", "coroutine.wrap(function() while true do end end)()" },
    { "a call that waits", "bpf.core_wait()" },
  } do
    it("ends " .. case[1] .. " on Ctrl-C, and not itself", function()
      start()
      terminal:type("bpf.core_wait = function() local a = require('bpf.core').socket.pair() "
        .. "a:wait('r') end\n")
      terminal:wait_for "> "
      terminal:type("print 'begun' " .. case[2] .. "\n")
      terminal:wait_for "\r\nbegun\r\n"
      terminal:type "\3"
      terminal:wait_for "interrupted"
      terminal:wait_for "> "
      terminal:type "6 * 7\n"
      terminal:wait_for "\r\n42\r\n"
      leave()
    end)
  end

  it("drops a line on a Ctrl-C that comes just before a key is waited for", function()
    start({}, ("env LD_PRELOAD=%s/spec/early_signal.so "):format(os.getenv "BUILD"))
    terminal:wait_for "\r\n> "
    terminal:type "6 * 7\n"
    terminal:wait_for "\r\n42\r\n"
    leave()
  end)

  it("drops a line on Ctrl-C", function()
    start()
    terminal:type "print 'half"
    terminal:wait_for "half"
    terminal:type "\3"
    terminal:wait_for "\r\n> "
    terminal:type "6 * 7\n"
    terminal:wait_for "\r\n42\r\n"
    leave()
  end)

  it("completes fields and methods on Tab", function()
    start()
    terminal:type "bpf.verd\9.enc\9('xdp', { 'tx' })\n"
    terminal:wait_for "\r\n8\r\n"
    terminal:type "client:cl\9"
    terminal:wait_for "ose"
    terminal:type "\3"
    terminal:wait_for "\r\n> "
    terminal:type "string.re\9"
    terminal:wait_for "rep      reverse"
    terminal:type "\3"
    terminal:wait_for "\r\n> "
    leave()
  end)

  it("remembers lines in a file that is nobody else's", function()
    start()
    terminal:type "x = 6 * 7\n"
    terminal:wait_for "> "
    leave()
    terminal:close()
    local path = home.path .. "/bpfctl/history"
    local file <close> = assert(io.open(path))
    assert.equal("x = 6 * 7\n", file:read "a")
    assert.equal(tonumber("600", 8), assert(uv.fs_stat(path)).mode & tonumber("777", 8))
    start()
    terminal:type "\27[A"
    terminal:wait_for "x = 6 * 7"
    terminal:type " + 1; return x\n"
    terminal:wait_for "\r\n43\r\n"
    leave()
  end)

  it("reads lines as they come where there is no libedit", function()
    home:write("libedit.so.2", "not a library")
    start { LD_LIBRARY_PATH = home.path }
    terminal:type "40 + 2\n"
    terminal:wait_for "\r\n42\r\n> "
    terminal:type "print 'begun' while true do end\n"
    terminal:wait_for "\r\nbegun\r\n"
    terminal:type "\3"
    terminal:wait_for "interrupted\r\n> "
    leave()
  end)

  it("has colour unless NO_COLOR is set", function()
    start { NO_COLOR = "" }
    terminal:type "'te' .. 'xt'\n"
    terminal:wait_for '\27[32m"text"\27[0m'
    leave()
  end)
end)
