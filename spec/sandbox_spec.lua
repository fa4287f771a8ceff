local process = require "spec.support.process"
local sandbox = require("bpf.core").sandbox
local system = require("bpf.core").system

local MEMORY <const>, INSTRUCTIONS <const> = 1 << 20, 100000

local lpeg <const> = package.loadlib(assert(package.searchpath("lpeg", package.cpath)),
  "luaopen_lpeg")

describe("a sandbox", function()
  local box

  before_each(function() box = assert(sandbox.new(MEMORY, INSTRUCTIONS, lpeg)) end)
  after_each(function() box:close() end)

  it("takes and gives plain values of every kind", function()
    assert(box:run("function echo(...) return ... end", "=echo"))
    local value = { a = { 1, 2.5, math.mininteger, "\0\xff" }, [3] = true, [false] = { {} } }
    assert.same({ true, value, nil, false, 1 << 62, n = 5 },
      table.pack(box:call("echo", value, nil, false, 1 << 62)))
    assert.equal("float", math.type(select(2, box:call("echo", 1.0))))
  end)

  it("shares no global, no table and no metatable with its maker or another", function()
    local other <close> = assert(sandbox.new(MEMORY, INSTRUCTIONS, lpeg))
    assert(box:run("x, string.rep = 1, nil; getmetatable('').__index = {}", "=one"))
    assert.is_true(select(2, other:run("return x == nil and ('x'):rep(2) == 'xx'", "=two")))
    assert.equal("xx", ("x"):rep(2))
  end)

  it("has no way to files, modules, processes, threads and debug", function()
    for _, name in ipairs { "io", "os", "package", "require", "debug", "coroutine", "bpf" } do
      assert.is_true(select(2, box:run("return " .. name .. " == nil", "=x")))
    end
  end)

  -- what is run, the kind of its end, and a pattern of the message
  for name, case in pairs {
    ["an endless loop"] = { "\nwhile true do end", "instructions", "^file:2: .* 100000 instr" },
    ["one that catches errors"] = { "while true do pcall(error) end", "instructions", "file:1" },
    ["one in threads and comparisons"] =
      { "table.sort({ 1, 2, 3 }, function() while true do end end)", "instructions", "file:1" },
    ["endless recursion"] = { "local function f() return 1 + f() end f()", "memory", "1048576" },
    ["recursion through C"] =
      { "local function f() return ('x'):gsub('x', f) end f()", "error", "stack overflow" },
    ["a text that grows"] = { "local s = 'x' while true do s = s .. s end", "memory", "1048576" },
    ["a text that is large at once"] = { "return ('x'):rep(1 << 30)", "memory", "1048576" },
    ["a table that grows"] = { "local t = {} while true do t[#t + 1] = { t } end", "", "" },
    ["an error that is a table"] = { "error {}", "error", "no text but a table" },
    ["an error with a hostile text"] = { [[error(setmetatable({}, {
      __tostring = function() while true do end end, __name = {} }))]], "error", "but a table" },
    ["a yield"] = { "local f = table.unpack; return f", "error", "a function cannot be passed on" },
    ["a table in itself"] = { "local t = {} t.t = t return t", "error", "to a depth of" },
    ["a syntax error"] = { "\n\nx = = 1", "error", "^file:3: unexpected symbol" },
    ["bytecode of nonsense"] = { "\27Lua", "error", "truncated" },
  } do
    it("ends and tells " .. name, function()
      local good, kind, message = box:run(case[1], "@file")
      assert.is_nil(good)
      assert.matches(case[2], kind)
      assert.matches(case[3], message)
      -- and is as good as before
      collectgarbage()
      assert.same({ true, 2 }, { box:run("return 1 + 1", "=after") })
    end)
  end

  it("counts what it uses", function()
    local before <const> = box:memory()
    assert(box:run("kept = ('x'):rep(500000)", "=x"))
    assert.is_true(box:memory() - before > 500000)
    assert.equal("memory", select(2, box:run("more = ('x'):rep(600000)", "=x")))
    assert(box:run("kept = nil; collectgarbage()", "=x"))
    assert.is_true(box:memory() - before < 10000)
  end)

  it("is refused where there is no room for it", function()
    local none, err = sandbox.new(1000, INSTRUCTIONS)
    assert.is_nil(none)
    assert.matches("1000 bytes are not enough", err.message)
    none, err = sandbox.new(10000, INSTRUCTIONS)
    assert.is_nil(none)
    assert.matches("10000 bytes are not enough", err.message)
  end)

  it("reads only bytes that are whole", function()
    local bytes = sandbox.pack { a = { "text", 1 } }
    assert.same({ a = { "text", 1 } }, sandbox.unpack(bytes))
    for length = 1, #bytes - 1 do
      assert.is_false((pcall(sandbox.unpack, bytes:sub(1, length))))
    end
    assert.is_false((pcall(sandbox.unpack, "{nn}")))
    assert.is_false((pcall(sandbox.unpack, ("{"):rep(100000))))
  end)
end)

describe("a confined process", function()
  if os.getenv "SPEC_UNDER" then
    it("is one", function() pending "valgrind needs system calls that are filtered" end)
    return
  end

  -- What a child that is confined wrote, and how it ended.
  local function child(work)
    local from, to = assert(system.pipe())
    local pid = assert(system.fork { to })
    if pid == 0 then
      pcall(function()
        assert(sandbox.confine())
        work(to)
      end)
      system.leave(0)
    end
    to:close()
    local ended = assert(system.wait(pid, true))
    local text = system.read(from)
    from:close()
    return text, ended
  end

  it("opens, makes and signals nothing, and goes on", function()
    if os.getenv "ASAN_OPTIONS" then
      return pending "a build with sanitizers keeps its system calls (core/confine.h)"
    end
    local text = child(function(to)
      local tries = {
        open = system.open("/etc/passwd"), list = io.open("/proc/self/status"),
        write = io.open("/tmp/bpfd-spec-confined", "w"), pipe = system.pipe(),
        fork = system.fork {}, kill = system.kill(1, "check"),
        socket = require("bpf.core").socket.pair(), remove = os.remove("/nonexistent"),
        popen = io.popen and select(2, pcall(io.popen, "true")) or nil,
      }
      local done = {}
      for name, value in pairs(tries) do
        if type(value) ~= "string" then done[#done + 1] = name end
      end
      system.write(to, "done: " .. table.concat(done, " "))
    end)
    assert.equal("done: ", text)
  end)

  it("ends within one library call that does not, with its last words", function()
    local text, ended = child(function(to)
      sandbox.watch(30, to, "last words")
      ;("a"):rep(5000):find((".-"):rep(30) .. "b")
      system.write(to, "never")
    end)
    assert.equal("last words", text)
    assert.same({ code = 128 + 27 }, ended)
  end)

  it("says them also when it crashes", function()
    local from, to = assert(system.pipe())
    local pid = assert(system.fork { to })
    if pid == 0 then
      pcall(function()
        assert(sandbox.confine())
        sandbox.watch(60000, to, "last words")
        system.write(to, "ready, ")
        while true do end
      end)
      system.leave(0)
    end
    to:close()
    local text = ""
    process.eventually(function()
      text = text .. (system.read(from) or "")
      return text == "ready, "
    end)
    process.check { "kill", "-SEGV", tostring(pid) }
    assert.same({ code = 128 + 11 }, system.wait(pid, true))
    assert.equal("last words", system.read(from))
    from:close()
  end)

  it("does not end once nobody watches any more", function()
    local text = child(function(to)
      sandbox.watch(20, to, "last words")
      sandbox.watch(0, to, "")
      local till = os.clock() + 0.08
      repeat until os.clock() > till
      system.write(to, "done")
    end)
    assert.equal("done", text)
  end)
end)
