local amendment = require "bpf.policy.amendment"
local frame = require "bpf.frame"
local helper = require "bpf.policy.helper"
local policy_set = require "bpf.policy.set"
local system = require("bpf.core").system

local LIMITS <const> = { instructions = 200000, memory = 1 << 20, time = 0.05 }

local function sources_of(texts)
  local sources = {}
  for place, text in ipairs(texts) do
    sources[place] = { path = ("/etc/bpfd/policy.d/%d.lua"):format(place), text = text }
  end
  return sources
end

local function load_event(more)
  local event = { on = "program.load", name = "pass", metadata = {},
    peer = { uid = 1000, gid = 1000, pid = 7, groups = { 1000, "alice", "netops" } },
    attach = { type = "xdp", iface = "eth0", priority = 5, proceed_on = { "pass" } } }
  for key, value in pairs(more or {}) do event[key] = value end
  return event
end

-- A file with one hook; `more` stands before its run.
local function hook(name, body, more)
  return ("hooks.add {\n  name = %q, on = 'program.load', %s\n  run = function(event) %s end,\n}\n")
    :format(name, more or "", body)
end

local function open(...)
  return policy_set.open(sources_of { ... }, LIMITS)
end

local function decide(...)
  local set, event = assert(open(...)), load_event()
  local outcome = set:decide(event)
  set:close()
  return outcome, event
end

local function names_of(outcome)
  local names = {}
  for place, decision in ipairs(outcome.decisions) do
    names[place] = decision.hook .. " " .. decision.decision
  end
  return names
end

describe("policy hooks", function()
  it("have no objection, or deny with a reason, and nobody is asked after a deny", function()
    local outcome = decide(hook("site/a", ""), hook("site/b", "return hooks.deny 'not here'"),
      hook("site/c", ""))
    assert.same({ "site/a none", "site/b deny" }, names_of(outcome))
    assert.equal("not here", outcome.denied.reason)
    assert.equal("site/b", outcome.denied.hook)
  end)

  it("amend what later hooks then see, and what is so already is no amendment", function()
    local outcome, event = decide(
      hook("site/a", "return hooks.amend { attach = { priority = 100 }, metadata = { x = 'y' } }"),
      hook("site/b", "assert(event.attach.priority == 100 and event.metadata.x == 'y')"),
      hook("site/c", "return hooks.amend { attach = { priority = 100.0 } }"))
    assert.same({ "site/a amend", "site/b none", "site/c none" }, names_of(outcome))
    assert.same({ { hook = "site/a", field = "attach.priority", from = 5, to = 100 },
      { hook = "site/a", field = "metadata.x", to = "y" } }, outcome.amended)
    assert.equal(100, event.attach.priority)
  end)

  it("decide of a replacement where they decide of loads, once and in their order", function()
    local set = assert(open(
      hook("site/load", "assert(event.on == 'program.load' and event.replaces == 7)"),
      "hooks.add { name = 'site/both', on = { 'program.load', 'program.replace' }, "
        .. "run = function(event) assert(event.on == 'program.replace') end }",
      hook("site/closed", "return hooks.deny(event.on)"),
      "hooks.add { name = 'site/done', on = 'program.load.done', "
        .. "run = function(event) log.info('%s', event.on) end }"))
    local event = load_event { on = "program.replace", replaces = 7 }
    local outcome = set:decide(event)
    assert.same({ "site/load none", "site/both none", "site/closed deny" }, names_of(outcome))
    assert.equal("program.load", outcome.denied.reason)
    assert.equal("program.replace", event.on)
    outcome = set:decide(load_event { on = "program.replace.done" })
    assert.equal("program.load.done", outcome.lines[1].text)
    assert.same({}, set:decide(load_event { on = "program.unload" }).decisions)
    set:close()
  end)

  it("change nothing by writing into the event", function()
    local outcome, event = decide(hook("site/a", "event.attach.priority = 1; event.peer.uid = 0"),
      hook("site/b", "assert(event.attach.priority == 5 and event.peer.uid == 1000)"))
    assert.is_nil(outcome.denied)
    assert.equal(5, event.attach.priority)
  end)

  it("know the groups of who asks by name and by number", function()
    assert.is_nil(decide(hook("site/a",
      "assert(event.peer.groups.netops and event.peer.groups[1000] and not event.peer.groups.x)"))
      .denied)
  end)

  it("run in the order of before and after, else of their files", function()
    local outcome = decide(hook("site/a", "", "after = 'site/c',"), hook("site/b", ""),
      hook("site/c", "", "after = { 'core/signatures', 'site/none' },"),
      hook("site/d", "", "before = { 'site/b', 'site/a' },"))
    assert.same({ "site/c none", "site/d none", "site/a none", "site/b none" }, names_of(outcome))
  end)

  it("keep a state of their own from call to call, file by file", function()
    local set = assert(open(
      hook("site/a", "state.n = (state.n or 0) + 1; counted = state.n; log.info('%d', state.n)"),
      hook("site/b", "assert(state.n == nil); counted = 1")))
    for count = 1, 3 do
      assert.equal(tostring(count), set:decide(load_event()).lines[1].text)
    end
    set:close()
  end)

  it("are all told of what has happened, whatever one of them does", function()
    local set = assert(open("hooks.add { name = 'site/a', on = { 'link.up', 'link.down' }, \z
      run = function() error 'x' end }", "hooks.add { name = 'site/b', on = 'link.up', \z
      run = function() return hooks.deny 'no' end }"))
    local outcome = set:decide { on = "link.up", iface = "eth0" }
    assert.same({ "site/a failed", "site/b none" }, names_of(outcome))
    assert.is_nil(outcome.denied)
    assert.same({}, set:decide({ on = "daemon.started" }).decisions)
    set:close()
  end)

  it("take the priority, verdicts and metadata of a request and nothing else", function()
    local event <const> = load_event()
    for wanted, pattern in pairs {
      [{ attach = { iface = "eth1" } }] = "attach.iface; did you mean",
      [{ attach = { priority = -1 } }] = "priority must be from 0",
      [{ attach = { proceed_on = { "pas" } } }] = "did you mean pass",
      [{ metadata = { a = 1 } }] = "a table of texts",
      [{ metadata = { a = ("x"):rep(5000) } }] = "more than 1024",
      [{ metadata = "x" }] = "a table of texts", [{ attach = 1 }] = "by a table",
      [{ name = "other" }] = "amend name; did you mean",
    } do
      local changes, complaint = amendment.changes(event, wanted)
      assert.is_nil(changes)
      assert.matches(pattern, complaint)
    end
    assert.same({}, amendment.changes(event, { attach = { proceed_on = { "pass" } } }))
    local _, complaint = amendment.changes(load_event { attach = { type = "kprobe" } },
      { attach = { priority = 1 } })
    assert.matches("kprobe has no priority", complaint)
  end)
end)

-- What a file that is broken is told: the line, and a pattern of what else.
local broken <const> = {
  ["a syntax error"] = { "local x = 1\n\nx = = 2\n", 3, "unexpected symbol" },
  ["an endless loop"] = { "\nwhile true do end", 2, "200000 instructions; .*policy.instructions" },
  ["endless growth of a text"] =
    { "\n\nlocal s = 'x' while true do s = s .. s end", 1, "1048576 bytes; .*policy.memory" },
  ["a text that is huge at once"] = { "local s = ('x'):rep(1 << 30)", 1, "1048576 bytes" },
  ["deep recursion"] = { "local function f() return 1 + f() end\nf()", 1, "bytes" },
  ["recursion through a library"] =
    { "local function f() return (('x'):gsub('x', f)) end\nf()", 1, "stack overflow" },
  ["no hook at all"] = { "local x = 1", 1, "adds no hook" },
  ["a hook without a name"] = { "\nhooks.add { on = 'link.up', run = type }", 2, "needs a name" },
  ["a name of another form"] =
    { "hooks.add { name = 'bands', on = 'link.up', run = type }", 1, "of the form site/bands" },
  ["a name of bpfd's own"] =
    { "hooks.add { name = 'core/x', on = 'link.up', run = type }", 1, "bpfd's own" },
  ["an unknown event"] =
    { "\n\nhooks.add { name = 'site/x', on = 'program.laod', run = function() end }", 3,
      "mean program.load" },
  ["no event"] = { "hooks.add { name = 'site/x', run = type }", 1, "needs `on`" },
  ["an unknown key"] = { "hooks.add { name = 'site/x', on = 'link.up', run = type, befor = 'y' }",
    1, "no befor; did you mean before" },
  ["an order that is none"] =
    { "hooks.add { name = 'site/x', on = 'link.up', run = type, before = { 1 } }", 1,
      "a list of names" },
  ["no function"] = { "hooks.add { name = 'site/x', on = 'link.up', run = 'x' }", 1, "a function" },
  ["bytecode"] = { string.dump(function() return 1 end), 1, "binary chunk" },
}

-- What a hook's misbehaviour, on line 3, is told; nil: the second call's.
local failing <const> = {
  ["an error"] = { "error 'oh'", "oh; mend it" },
  ["an error that is a table"] = { "error { }", "no text but a table" },
  ["nonsense"] = { "return 'yes'", "returned a string; a hook returns nothing, hooks.deny" },
  ["true"] = { "return true", "returned true" },
  ["a deny of its own making"] = { "return { deny = 'x' }", "returned a table" },
  ["a deny of an earlier call"] =
    { "state.d = state.d or hooks.deny 'x'; if state.c then return state.d end state.c = 1", nil },
  ["a deny without a reason"] = { "return hooks.deny()", "takes a reason" },
  ["an amendment that cannot be"] = { "return hooks.amend { attach = { iface = 'x' } }", "iface" },
  ["functions in an amendment"] = { "return hooks.amend { metadata = { x = type } }", "function" },
  ["an amendment in itself"] =
    { "local t = {} t.t = t return hooks.amend { metadata = t }", "depth" },
  ["a hook added later"] =
    { "hooks.add { name = 'site/y', on = 'link.up', run = type }", "while the file is read" },
  ["a yield"] = { "coroutine.yield()", "there is no coroutine in a policy; in reach are" },
  ["a caught error"] = { "pcall(error)", "there is no pcall" },
  ["a file"] = { "io.open '/etc/passwd'", "there is no io" },
  ["a process"] = { "os.execute 'true'", "there is no os" },
  ["a module"] = { "require 'bpf'", "there is no require" },
  ["the debugger"] = { "debug.getregistry()", "there is no debug" },
  ["code from texts"] = { "load 'return 1'", "there is no load" },
  ["a dump"] = { "string.dump(type)", "nil value %(field 'dump'%)" },
  ["a dump behind a text"] = { "(''):dump()", "nil value %(method 'dump'%)" },
  ["metatables"] = { "setmetatable({}, {})", "there is no setmetatable" },
  ["the metatable of texts"] = { "getmetatable('').__index = nil", "there is no getmetatable" },
  ["an endless loop"] = { "while true do end", "200000 instructions" },
  ["an endless loop in a comparison"] =
    { "table.sort({ 2, 1 }, function() while true do end end)", "200000 instructions" },
  ["endless growth of state"] = { "while true do state[#state + 1] = { } end", "1048576 bytes" },
  ["a huge reason"] = { "return hooks.deny(('x'):rep(1 << 19))", "bytes" },
}

describe("a broken policy file", function()
  for name, case in pairs(broken) do
    it("is told its line and what to do: " .. name, function()
      local set, err = open(case[1])
      assert.is_nil(set)
      local told = ("%s; %s"):format(err.message, err.advice)
      assert.matches("^/etc/bpfd/policy%.d/1%.lua:" .. case[2] .. ": ", told)
      assert.matches(case[3], told)
      assert.is_nil(told:find "\n")
    end)
  end

  it("is one with a name that another file has, or an order that is a cycle", function()
    local _, err = open(hook("site/a", ""), "\n" .. hook("site/a", ""))
    assert.matches("/2.lua:4: there is a hook site/a already, at .*/1.lua:3; rename", err.message)
    _, err = open(hook("site/a", "", "before = 'site/b',"),
      hook("site/b", "", "before = 'site/c',"), hook("site/c", "", "before = 'site/a',"))
    assert.matches("%.lua:3: hooks wait for each other: .* before .*; take out one", err.message)
    _, err = open(hook("site/a", "", "after = 'site/a',"))
    assert.matches("1%.lua:3: hooks wait for each other: site/a before site/a", err.message)
  end)
end)

describe("a hook that fails", function()
  for name, case in pairs(failing) do
    it("denies, and is told with its line: " .. name, function()
      local set = assert(open(hook("site/x", case[1]), hook("site/after", "")))
      local denied = set:decide(load_event()).denied
      if not case[2] then denied = set:decide(load_event()).denied end
      assert.truthy(denied)
      assert.equal("failed", denied.decision)
      local told = ("%s; %s"):format(denied.reason, denied.advice)
      assert.matches("^/etc/bpfd/policy%.d/1%.lua:3: ", told)
      assert.matches(case[2] or "returned a table", told)
      -- the others are as they were
      assert.truthy(set:decide { on = "program.unload" })
      set:close()
    end)
  end
end)

describe("the process that policies run in", function()
  local function start(...)
    local forked = assert(helper.fork(sources_of { ... }, LIMITS))
    local received, messages = "", {}
    local self = {}

    function self.next()
      while true do
        local message
        message, received = frame.take(received)
        if message then return message end
        assert(forked.socket:wait("r", 10))
        local bytes = assert(forked.socket:receive())
        if bytes == "" then return nil end
        received = received .. bytes
      end
    end

    function self.ask(message)
      assert(forked.socket:send(frame.of(message)))
      return self.next()
    end

    function self.finish()
      forked.socket:close()
      system.kill(forked.pid, "KILL")
      return system.wait(forked.pid, true)
    end

    self.messages = messages
    return self
  end

  it("says what it has loaded, and answers", function()
    local running = start(hook("site/a", "return hooks.deny 'no'"))
    assert.equal("site/a", running.next().hooks[1].name)
    for _ = 1, 3 do assert.equal("no", running.ask({ event = load_event() }).denied.reason) end
    assert.truthy(running.ask({}).memory["/etc/bpfd/policy.d/1.lua"] > 10000)
    running.finish()
  end)

  it("says what is broken", function()
    local running = start "x = = 1"
    assert.matches("1.lua:1: unexpected", running.next().broken.message)
    running.finish()
  end)

  for name, body in pairs {
    ["string.find"] = "('a'):rep(5000):find(('.-'):rep(30) .. 'b')",
    ["string.gsub"] = "('a'):rep(100000):gsub('.-.-.-b', '')",
    ["lpeg"] = "lpeg.match((lpeg.P 'a' ^ 0 * 'b' + 1) ^ 0, ('a'):rep(200000))",
  } do
    it("is ended with its last words when a hook hangs in one call of " .. name, function()
      local running = start(hook("site/before", ""), hook("site/x", body))
      local hooks = running.next().hooks
      local last = running.ask { event = load_event() }
      assert.same({ ended_in = 2 }, last)
      assert.is_nil(running.next())
      local err, hook_name = helper.explain(last, running.finish(), false, hooks, LIMITS)
      assert.equal("site/x", hook_name)
      assert.matches("/2.lua:3: site/x has run for 50 ms", err.message)
      assert.matches("policy.time", err.advice)
    end)
  end

  it("is ended when a file hangs in one call while it is loaded", function()
    local running = start(hook("site/a", ""), "('a'):rep(5000):find(('.-'):rep(30) .. 'b')")
    local last = running.next()
    assert.same({ ended_in = 2 }, last)
    assert.is_nil(running.next())
    local err = helper.explain(last, running.finish(), false,
      { { file = "/a.lua" }, { file = "/b.lua" } }, LIMITS)
    assert.matches("^/b.lua:1: it has run for 50 ms", err.message)
  end)
end)
