-- Scripts under `bpfctl run`: what they have, how they fail, and how they are ended.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local folder = require "spec.support.folder"
local process = require "spec.support.process"

describe("bpfctl run", function()
  local home

  before_each(function() home = folder.new() end)
  after_each(function() home:close() end)

  local function run(text, ...)
    local path = home:write("script.lua", text)
    return bpfctl.run(nil, { "run", path, ... }, { env = { BPFD_SOCKET = "/run/none.sock" } })
  end

  it("hands over all words behind the script as they stand", function()
    local result = run("print(#arg, ...)", "-q", "--help", "", "--", "help", "a b")
    assert.equal("6\t-q\t--help\t\t--\thelp\ta b\n", result.stdout)
    assert.equal(0, result.exit)
    local path = home:write("script.lua", "print(arg[-2], arg[-1], arg[0])")
    assert.equal("bpfctl\trun\t" .. path .. "\n", bpfctl.run(nil, { "run", path }).stdout)
  end)

  it("has bpf and client at hand, and says there is no daemon only when one is asked", function()
    local result = run [[
      print(bpf.verdict.encode("tc", { "ok" }), require "bpf" == bpf)
      local answer, err = client:call "program.list"
      print(answer, err.code, err.advice)
    ]]
    assert.equal("2\ttrue\nnil\tENOENT\tsudo systemctl start bpfd, or sudo bpfd\n", result.stdout)
    assert.equal("", result.stderr)
    assert.equal(0, result.exit)
  end)

  it("runs what its first line names it for", function()
    local path = home:write("script.lua", "#!/usr/bin/env -S bpfctl run\nprint(...)\n",
      tonumber("755", 8))
    local directories = bpfctl.path:match "^(.*)/" .. ":" .. os.getenv "PATH"
    assert.equal("-x\ty\n", process.check({ path, "-x", "y" }, { env = { PATH = directories } }))
  end)

  it("reads a script from standard input", function()
    local result = bpfctl.run(nil, { "run", "-", "5" }, { stdin = "print(... + 1)\n" })
    assert.equal("6\n", result.stdout)
  end)

  for _, case in ipairs {
    { "an error", "local function f() error 'no' end\nf()", "SCRIPT:1: no\nstack traceback:\n"
      .. "\t[C]: in function 'error'\n\tSCRIPT:1: in local 'f'\n\tSCRIPT:2: in main chunk\n" },
    { "a failed assert",
      "assert(client:call 'program.list')",
      "no bpfd at /run/none.sock; sudo systemctl start bpfd, or sudo bpfd\nstack traceback:\n"
      .. "\t[C]: in function 'assert'\n\tSCRIPT:1: in main chunk\n" },
    { "an error that is a table", "error { a = 1 }", "an error that is a table: { a = 1 }\n"
      .. "stack traceback:\n\t[C]: in function 'error'\n\tSCRIPT:1: in main chunk\n" },
    { "a syntax error", "for x", "SCRIPT:1: '=' or 'in' expected near <eof>\n" },
    { "nesting without end", "return " .. ("{"):rep(1000), "SCRIPT: it is nested too deeply\n" },
  } do
    it("tells " .. case[1] .. " with where it was, and leaves with 1", function()
      local result = run(case[2])
      local path = home.path .. "/script.lua"
      assert.equal("bpfctl: " .. case[3], (result.stderr:gsub(path:gsub("%p", "%%%0"), "SCRIPT")))
      assert.equal("", result.stdout)
      assert.equal(1, result.exit)
    end)
  end

  it("leaves with the status that the script asks for", function()
    assert.equal(7, run("os.exit(7, true)").exit)
  end)

  it("does not find a script that is not there, nor one that is a directory", function()
    local result = bpfctl.run(nil, { "run", "/no/such.lua" })
    assert.equal("bpfctl: cannot open /no/such.lua: No such file or directory\n", result.stderr)
    assert.equal(1, result.exit)
    assert.equal(1, bpfctl.run(nil, { "run", home.path }).exit)
    result = bpfctl.run(nil, { "run" })
    assert.equal("bpfctl: run needs <SCRIPT>\ntry 'bpfctl run --help'\n", result.stderr)
    assert.equal(64, result.exit)
  end)

  it("says when its output goes nowhere", function()
    local path = home:write("script.lua", "print 'x'")
    local result = process.run { "/bin/sh", "-c",
      ("%s run %s >/dev/full"):format(bpfctl.path, path) }
    assert.equal("bpfctl: cannot write the output\n", result.stderr)
    assert.equal(1, result.exit)
    result = process.run { "/bin/sh", "-c", ("%s run %s >&-"):format(bpfctl.path, path) }
    assert.equal("bpfctl: cannot write the output\n", result.stderr)
    assert.equal(1, result.exit)
  end)

  it("is ended by a Ctrl-C that comes just before a call begins to wait", function()
    local path = home:write("script.lua",
      "local a, b = require('bpf.core').socket.pair() a:wait 'r' b:close()")
    local child = process.start({ bpfctl.path, "run", path },
      { env = { LD_PRELOAD = os.getenv "BUILD" .. "/spec/early_signal.so" } })
    local status = child:wait(5000)
    child:signal "sigkill"
    assert.equal(130, status)
  end)

  for _, case in ipairs {
    { "a loop", "while true do end" },
    { "a coroutine's loop", "print(coroutine.resume(coroutine.create(function()\n"
      .. "  while true do end\nend)))" },
    { "a call that waits", "local a, b = require('bpf.core').socket.pair() a:wait 'r' b:close()" },
    { "reading", "io.read()" },
  } do
    it("closes what is to be closed on Ctrl-C in " .. case[1] .. ", and leaves with 130", function()
      local path = home:write("script.lua", [[
        local _ <close> = setmetatable({}, { __close = function()
          local a, b = require("bpf.core").socket.pair()
          local _, err = a:wait("r", 0.01)
          print("closed", err.code, b ~= nil)
        end })
        io.stdout:setvbuf "no"
        print "begun"
      ]] .. case[2])
      local out = home.path .. "/out"
      local child = process.start({ "/bin/sh", "-c",
        ("exec %s run %s </dev/zero"):format(bpfctl.path, path) }, { output = out })
      if case[1] == "reading" then
        child:signal "sigkill"
        local line = ("mkfifo %s/fifo; exec %s run %s <>%s/fifo"):format(home.path, bpfctl.path,
          path, home.path)
        child = process.start({ "/bin/sh", "-c", line }, { output = out })
      end
      local function text()
        local file <close> = io.open(out)
        return file and file:read "a" or ""
      end
      process.eventually(function() return text():find "begun" end)
      child:signal "sigint"
      assert.equal(130, child:wait())
      assert.truthy(text():find("closed\tETIMEDOUT\ttrue", 1, true), text())
      assert.truthy(text():find("bpfctl: interrupted\nstack traceback:", 1, true), text())
    end)
  end

  it("ends at the second Ctrl-C when the script does not listen to the first", function()
    local path = home:write("script.lua", [[
      io.stdout:setvbuf "no"
      print "begun"
      pcall(function() while true do end end)
      print "goes on"
      while true do end
    ]])
    local out = home.path .. "/out"
    local child = process.start({ bpfctl.path, "run", path }, { output = out })
    local function shows(word)
      return process.eventually(function()
        local file <close> = io.open(out)
        return file and file:read("a"):find(word) ~= nil
      end)
    end
    assert.is_true(shows "begun")
    child:signal "sigint"
    assert.is_true(shows "goes on")
    child:signal "sigint"
    assert.equal(128 + 2, child:wait())
  end)
end)

describe("a deadline", function()
  local bpf = require "bpf"

  it("lets through what is done in time", function()
    local a, b = bpf.deadline(10, function(x) return x, nil end, 5)
    assert.equal(5, a)
    assert.is_nil(b)
  end)

  it("ends a loop, closes what is to be closed, and says ETIMEDOUT", function()
    local closed = false
    local started = uv.hrtime()
    local result, err = bpf.deadline(0.05, function()
      local _ <close> = setmetatable({}, { __close = function() closed = true end })
      while true do end
    end)
    assert.is_nil(result)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("not done after 0.05 s", err.message)
    assert.is_true(closed)
    assert.is_true(uv.hrtime() - started < 5e9)
  end)

  it("ends a call that waits", function()
    local a, b = require("bpf.core").socket.pair()
    local _, err = bpf.deadline(0.05, function() return a:wait "r" end)
    assert.equal("ETIMEDOUT", err.code)
    a:close()
    b:close()
  end)

  it("ends a sleep", function()
    local _, err = bpf.deadline(0.02, bpf.sleep, 60)
    assert.equal("ETIMEDOUT", err.code)
  end)

  it("may stand inside another, and each ends its own block", function()
    local outer, inner = bpf.deadline(10, function()
      local _, err = bpf.deadline(0.02, function() while true do end end)
      return "went on", err
    end)
    assert.equal("went on", outer)
    assert.equal("not done after 0.02 s", inner.message)
    local reached = false
    local _, err = bpf.deadline(0.02, function()
      bpf.deadline(10, function() while true do end end)
      reached = true
    end)
    assert.equal("not done after 0.02 s", err.message)
    assert.is_false(reached)
  end)

  it("lets other errors pass, and leaves no alarm behind", function()
    assert.has_error(function() bpf.deadline(10, error, "mine") end, "mine")
    assert.has_error(function() bpf.deadline(0, print) end)
    bpf.deadline(0.02, function() end)
    local until_then = uv.hrtime() + 60e6
    while uv.hrtime() < until_then do end
  end)
end)
