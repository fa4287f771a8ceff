-- bpfctl policy check and test, as far as they need no bpfd.
local uv = require "luv"
local json = require "bpf.json"
local bpfctl = require "spec.support.bpfctl"

local ENDLESS <const> = "('a'):rep(5000):find(('.-'):rep(30) .. 'b')"
local BANDS <const> = [[
return hooks.add {
  name = "site/bands", on = "program.load",
  run = function(event)
    if event.name == "bad" then return hooks.deny "no\27[31m" end
    if event.name == "slow" then ('a'):rep(5000):find(('.-'):rep(30) .. 'b') end
    if event.attach.priority < 100 then return hooks.amend { attach = { priority = 100 } } end
  end,
}
]]

describe("bpfctl policy", function()
  local directory

  before_each(function() directory = assert(uv.fs_mkdtemp "/tmp/bpfd-spec-XXXXXX") end)
  after_each(function()
    for name in function(scan) return (uv.fs_scandir_next(scan)) end, uv.fs_scandir(directory) do
      os.remove(directory .. "/" .. name)
    end
    uv.fs_rmdir(directory)
  end)

  local function write(name, text)
    local path <const> = directory .. "/" .. name
    local file <close> = assert(io.open(path, "w"))
    file:write(text)
    return path
  end

  local function run(...) return bpfctl.run(nil, { "--socket", "/nonexistent", "policy", ... }) end

  it("check shows what whole files add", function()
    local path = write("a.lua", BANDS)
    local result = run("check", path)
    assert.equal("", result.stderr)
    assert.equal(0, result.exit)
    assert.equal((" Hook        On            File\n site/bands  program.load  %s:3\n"):format(
      path), result.stdout)
    assert.equal("site/bands\n", run("-q", "check", path).stdout)
    assert.equal("site/bands", json.decode(run("-o", "json", "check", path).stdout).hooks[1].name)
  end)

  for name, case in pairs {
    ["a syntax error"] = { "\nx = = 1", "2: unexpected symbol" },
    ["an endless loop"] = { "while true do end", "1: it has run for 1000000 instructions; make" },
    ["a hang in one call"] = { ENDLESS, "1: it has run for 50 ms; make it do less" },
    ["endless growth"] = { "local s = 'x' while true do s = s .. s end", "1: .*; .* policy%." },
    ["an unknown event"] =
      { "hooks.add { name = 's/x', on = 'link.upp', run = type }", "1: .* did you mean link.up" },
  } do
    it("check tells file, line and what to do of " .. name, function()
      local path = write("bad.lua", case[1])
      local result = run("check", path)
      assert.equal(1, result.exit)
      assert.equal("", result.stdout)
      assert.matches("^bpfctl: " .. path:gsub("%p", "%%%0") .. ":" .. case[2], result.stderr)
      assert.matches("^[^\n]*\n$", result.stderr)
    end)
  end

  it("check finds what is wrong between files", function()
    local result = run("check", write("a.lua", BANDS), write("b.lua", BANDS))
    assert.equal(1, result.exit)
    assert.matches("b.lua:3: there is a hook site/bands already, at .*a.lua:3", result.stderr)
  end)

  local function event(name, priority)
    return ('{"on":"program.load","name":"%s","attach":{"type":"xdp","priority":%d}}'):format(name,
      priority)
  end

  it("test shows decisions and the time they took, of events in each form", function()
    local path = write("a.lua", BANDS)
    for _, text in ipairs { event("good", 5) .. "\n" .. event("bad", 5) .. "\n",
      "[" .. event("good", 5) .. ",\n" .. event("bad", 5) .. "]" } do
      local result = run("test", path, write("events.json", text))
      assert.equal("", result.stderr)
      assert.equal(0, result.exit)
      assert.matches("\n 1 program.load  site/bands  amend +%d+ +attach.priority: 5 %-> 100\n",
        result.stdout)
      assert.matches("\n 2 program.load  site/bands  deny +%d+ +no", result.stdout)
      assert.is_nil(result.stdout:find "\27")
    end
    local outcomes = json.decode(run("-o", "json", "test", path,
      write("events.json", event("good", 500))).stdout)
    assert.equal("none", outcomes[1].decisions[1].decision)
    assert.is_true(outcomes[1].decisions[1].microseconds > 0)
  end)

  it("test tells what hangs", function()
    local result = run("test", write("a.lua", BANDS), write("events.json", event("slow", 5)))
    assert.equal(1, result.exit)
    assert.matches("a.lua:3: site/bands has run for 50 ms", result.stderr)
  end)

  it("test refuses what are no events", function()
    local path = write("a.lua", BANDS)
    for text, pattern in pairs { ["{"] = ":1: malformed JSON", ["[1]"] = "an event is an object",
      ['{"on":"program.laod"}'] = "did you mean program.load" } do
      local result = run("test", path, write("events.json", text))
      assert.equal(1, result.exit)
      assert.matches(pattern, result.stderr)
    end
  end)

  it("test needs a bpfd where policies or events are to come from it", function()
    assert.equal(69, run("test", write("a.lua", BANDS)).exit)
    assert.equal(69, run("test", write("events.json", event("good", 5))).exit)
  end)
end)
