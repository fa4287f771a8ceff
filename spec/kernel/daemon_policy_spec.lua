local uv = require "luv"
local core = require "bpf.core"
local json = require "bpf.json"
local bpfctl = require "spec.support.bpfctl"
local host = require "spec.support.host"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local GID <const> = 1 -- a group that every system has

local function hook(name, on, body)
  return ("hooks.add { name = %q, on = %s, run = function(event)\n%s\nend }\n"):format(name,
    on:find "{" and on or ("%q"):format(on), body)
end

describe("the daemon's policies", function()
  local served <const>, pair <const> = host.for_all { config = function(directory)
    return ([[return { listen = { { path = "%s/run/bpfd.sock", mode = "0666" } },
      policy = { time = "50ms", memory = "1MiB", instructions = 200000 } }]]):format(directory)
  end }

  local written = {}

  -- These files and no others are in force.
  local function put(files)
    for name in pairs(written) do served:policy(name, nil) end
    written = files
    for name, text in pairs(files) do served:policy(name, text) end
    return rpc.call(served, "policy.reload")
  end

  after_each(function()
    assert(put {})
    rpc.unload_all(served)
  end)

  -- The process of the policies: jobs have names of their own.
  local function children()
    local pids = {}
    for pid, name in pairs(process.children(served.pid)) do
      if name == "bpfd" then pids[#pids + 1] = pid end
    end
    return pids
  end

  -- All but the process of the policies, which may be another one now.
  local function scan() return (rpc.masked(residue.scan(served)):gsub("child %d+\n", "")) end

  -- A load that is refused, and leaves nothing.
  local function refused(priority, more)
    local before <const> = scan()
    local loaded, err = rpc.load_xdp(served, "veth0", priority or 5, more)
    assert.is_nil(loaded)
    process.eventually(function() return scan() == before end, 1000)
    assert.equal(before, scan())
    return err
  end

  local function log_has(pattern)
    return process.eventually(function() return served:log_text():find(pattern) ~= nil end, 5000)
  end

  it("need no process while there are none", function()
    assert.same({}, children())
    assert.same({}, rpc.call(served, "policy.list").hooks)
    assert(put { ["a.lua"] = hook("site/a", "program.load", "") })
    assert.equal(1, #children())
    assert(put {})
    assert.same({}, children())
  end)

  it("deny with a reason and the hook's name, and leave nothing", function()
    assert(put { ["a.lua"] = hook("site/closed", "program.load",
      "if event.attach.iface then return hooks.deny 'veth0 is closed; ask the netops' end") })
    local err = refused()
    assert.equal("EACCES", err.code)
    assert.equal("site/closed", err.hook)
    assert.matches("the policy site/closed denies it: veth0 is closed; ask the netops", err.message)
    local result = served:bpfctl("load-from-file", "-p", rpc.object, "-n", "count_xdp", "xdp", "-i",
      "veth0", "-p", "5")
    assert.equal(77, result.exit)
    assert.matches("^bpfctl: loading count_xdp from [^\n]*site/closed denies it: [^\n]*\n$",
      result.stderr)
    result = served:bpfctl("-o", "json", "load-from-file", "-p", rpc.object, "-n", "count_xdp",
      "xdp", "-i", "veth0", "-p", "5")
    assert.equal("site/closed", json.decode(result.stderr).error.hook)
    assert(rpc.load(served, { name = "count_tc", attach = { type = "tracepoint",
      tracepoint = "syscalls/sys_enter_getpgid" } }) == nil)
  end)

  it("amend priority, proceed-on and metadata, and the reply says so", function()
    assert(put { ["a.lua"] = hook("site/bands", "program.load", [[
      return hooks.amend { attach = { priority = 100, proceed_on = { "pass" } },
        metadata = { team = "edge" } }]]) })
    local loaded = assert(rpc.load_xdp(served, "veth0", 5, { metadata = { owner = "acme" } }))
    assert.equal(100, loaded.attach.priority)
    assert.same({ "pass" }, loaded.attach.proceed_on)
    assert.same({ owner = "acme", team = "edge" }, loaded.metadata)
    assert.equal(3, #loaded.amended)
    assert.same({ hook = "site/bands", field = "attach.priority", from = 5, to = 100 },
      loaded.amended[1])
    local state = bpfctl.rows(served:check("get", tostring(loaded.id)))
    assert.matches("site/bands %(attach.priority: 5 %-> 100%)", state["Amended By"])
    assert.truthy(log_has "site/bands amends program.load of user 0: attach.priority is 100, not 5")
    -- in the chain, in the record and in the database
    assert.equal(100, rpc.call(served, "chain.get", { type = "xdp" }).members[1].priority)
    served:stop()
    os.remove(served.state_dir .. "/bpfd.db")
    served:restart()
    assert.equal(3, #rpc.call(served, "program.get", { id = loaded.id }).amended)
  end)

  it("see who asks, what for, what the object holds, and the chain as it would become", function()
    local first = assert(rpc.load_xdp(served, "veth0", 50))
    assert(put { ["a.lua"] = hook("site/see", "{ 'program.load', 'chain.change' }", "") })
    assert.equal(0, bpfctl.run(served, { "load-from-file", "-p", rpc.object, "-n", "count_xdp",
      "-m", "owner=acme", "xdp", "-i", "veth0", "-p", "10" },
      { as = { uid = 4711, groups = { GID } } }).exit)
    local events = rpc.call(served, "policy.events").events
    local load, change
    for _, event in ipairs(events) do
      if event.on == "program.load" then load = event end
      if event.on == "chain.change" then change = event end
    end
    assert.equal(4711, load.peer.uid)
    local by_name = {}
    for _, group in ipairs(load.peer.groups) do by_name[group] = true end
    assert.is_true(by_name[GID] and by_name[4711])
    assert.is_true(by_name[core.system.group_name(GID)])
    assert.equal("count_xdp", load.name)
    assert.equal("acme", load.metadata.owner)
    assert.matches("/daemon.o$", load.path)
    assert.matches("^sha256:%x+$", load.object.digest)
    assert.equal("Dual MIT/GPL", load.object.license)
    assert.is_true(load.object.size > 1000)
    assert.same({ type = "xdp", section = "xdp", helpers = { "bpf_map_lookup_elem" } },
      load.object.programs.count_xdp)
    assert.equal("array", load.object.maps.hits.type)
    assert.equal(first.id, load.chain.now[1].id)
    assert.equal(1, #load.chain.now)
    assert.is_true(load.chain.next[1].new)
    assert.equal(10, load.chain.next[1].priority)
    assert.equal(first.id, load.chain.next[2].id)
    assert.equal(1, load.chain.next[2].position)
    assert.equal("program.load", change.cause)
    assert.equal("veth0", change.attach.iface)
    assert.equal(2, #change.chain.next)
  end)

  it("decide over unloads, changes of chains and maps too", function()
    local loaded = assert(rpc.load_xdp(served, "veth0", 50))
    assert(put { ["a.lua"] = hook("site/keep", "program.unload",
      "if event.program.name == 'count_xdp' then return hooks.deny 'it stays' end")
      .. hook("site/full", "chain.change",
        "if #event.chain.next > 1 then return hooks.deny 'one member is enough' end")
      .. hook("site/maps", "map.open",
        "if event.mode == 'rw' and event.map.name == 'hits' then return hooks.deny 'no' end") })
    local done, err = rpc.call(served, "program.unload", { id = loaded.id })
    assert.is_nil(done)
    assert.matches("site/keep denies it: it stays", err.message)
    assert.matches("one member is enough", refused(60).message)
    assert(rpc.call(served, "map.open", { program_id = loaded.id, name = "hits" }))
    done, err = rpc.call(served, "map.open", { program_id = loaded.id, name = "hits", mode = "rw" })
    assert.is_nil(done)
    assert.equal("site/maps", err.hook)
    assert.equal(1, #rpc.chain(served, { type = "xdp" }))
  end)

  local function replace(id, more)
    local file <close> = assert(core.system.open(rpc.object))
    local params = { fd = 0, id = id }
    for key, value in pairs(more or {}) do params[key] = value end
    return rpc.call(served, "program.replace", params, { descriptors = { file } })
  end

  it("decide over replacements as over what comes, what goes and what replaces it", function()
    local loaded = assert(rpc.load_xdp(served, "veth0", 50))
    for on, body in pairs {
      ["program.load"] = "if event.replaces == %d then return hooks.deny(event.on) end",
      ["program.replace"] = "if event.replaces == %d then return hooks.deny(event.on) end",
      ["program.unload"] = "if event.replaced and event.id == %d then "
        .. "return hooks.deny(event.on) end",
    } do
      assert(put { ["a.lua"] = hook("site/closed", on, body:format(loaded.id)) })
      local before <const> = scan()
      local replaced, err = replace(loaded.id)
      assert.is_nil(replaced)
      assert.matches("site/closed denies it: " .. on .. "$", err.message)
      assert.is_true(process.eventually(function() return scan() == before end, 1000))
    end
    assert(put { ["a.lua"] = hook("site/bands", "program.load",
      "return hooks.amend { attach = { priority = 100 } }")
      .. hook("site/log",
        "{ 'program.load.done', 'program.replace.failed', 'program.unload.done' }",
        "log.info('heard %s %s %s', event.on, event.id or 'none', \z
        event.replaces or event.replaced)") })
    local second = assert(replace(loaded.id, { attach = { priority = 5 } }))
    assert.same({ 100, "site/bands" }, { second.attach.priority, second.amended[1].hook })
    assert.is_nil(replace(second.id, { name = "out_of_bounds" }))
    for _, line in ipairs { ("program.load.done %d %d"):format(second.id, loaded.id),
      ("program.unload.done %d true"):format(loaded.id),
      ("program.replace.failed none %d"):format(second.id) } do
      assert.truthy(log_has("site/log: heard " .. line), line)
    end
  end)

  it("hear of what is done, what has failed, and of interfaces that come up", function()
    assert(put { ["log.lua"] = hook("site/log", [[{ "program.load.done", "program.load.failed",
      "program.unload.done", "chain.change.done", "map.open.failed", "link.up", "link.down" }]],
      [[log.info("heard %s of %s %s", event.on, event.iface or event.name or event.id or "it",
        event.error and event.error.code or "")
        return hooks.deny "too late"]]) })
    local loaded = assert(rpc.load_xdp(served, "veth0", 50))
    assert.is_nil(rpc.load(served, { name = "out_of_bounds",
      attach = { type = "xdp", iface = "veth0", priority = 1 } }))
    assert(rpc.call(served, "program.unload", { id = loaded.id }))
    pair.near:check { "ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1" }
    pair.near:check { "ip", "link", "set", "up1", "up" }
    pair.near:check { "ip", "link", "set", "up0", "up" }
    pair.near:check { "ip", "link", "delete", "up0" }
    for _, pattern in ipairs { "heard program.load.done of count_xdp",
      "heard program.load.failed of out_of_bounds EACCES",
      "heard program.unload.done of " .. loaded.id,
      "heard chain.change.done", "heard link.up of up0", "heard link.down of up0" } do
      assert.truthy(log_has("site/log: " .. pattern), pattern)
    end
  end)

  it("hear of the daemon's start", function()
    assert(put { ["log.lua"] = hook("site/log", "daemon.started", "log.warning('%s', event.on)") })
    served:stop()
    served:restart()
    assert.truthy(log_has "warning: site/log: daemon.started")
  end)

  -- What a hook does, and what the user is told of it; all of it ends the same way.
  for name, case in pairs {
    ["loops for ever"] = { "while true do end", "200000 instructions; .*policy.instructions" },
    ["hangs in one call"] =
      { "('a'):rep(5000):find(('.-'):rep(30) .. 'b')", "has run for 50 ms; .*policy.time" },
    ["wants all memory"] = { "local s = 'x' while true do s = s .. s end",
      "; .*raise policy%." },
    ["recurses"] = { "local function f() return 1 + f() end f()", "bytes" },
    ["raises"] = { "error 'oh'", "oh; mend it" },
    ["returns nonsense"] = { "return 1", "a hook returns nothing" },
    ["yields"] = { "coroutine.yield()", "there is no coroutine" },
  } do
    it("deny by failing where a hook " .. name .. ", and go on", function()
      assert(put { ["good.lua"] = hook("site/good", "program.load", ""),
        ["wild.lua"] = hook("site/wild", "program.load",
          "if event.attach.priority == 66 then " .. case[1] .. " end") })
      for _ = 1, 2 do
        local err = refused(66)
        local told = ("%s; %s"):format(err.message, err.advice)
        assert.equal("site/wild", err.hook)
        assert.matches("/policy.d/wild.lua:%d: ", told)
        assert.matches(case[2], told)
        assert.is_nil(told:find "\n")
        local loaded = assert(rpc.load_xdp(served, "veth0", 5))
        assert(rpc.call(served, "program.unload", { id = loaded.id }))
      end
      assert.equal(1, #children())
    end)
  end

  local function begin_load()
    local client = rpc.connect(served)
    local object <close> = assert(core.system.open(rpc.object))
    assert(client.socket:send(json.encode { jsonrpc = "2.0", id = 1, method = "program.load",
      params = { fd = 0, name = "count_xdp", attach = { type = "xdp", iface = "veth0",
        priority = 1 } } } .. "\n", { object }))
    return client
  end

  it("hold up nothing else while they decide", function()
    assert(put { ["a.lua"] = hook("site/a", "program.load", "") })
    local helper <const> = children()[1]
    uv.kill(helper, "sigstop") -- and it must go on within two seconds, on slow machines too
    local client = begin_load()
    for _ = 1, 5 do assert(rpc.call(served, "program.list")) end
    assert.is_nil((client.socket:wait("r", 0)))
    uv.kill(helper, "sigcont")
    assert.is_true((client.socket:wait("r", 30)))
    assert.matches('"result"', assert(client.socket:receive()))
    client:close()
  end)

  it("deny what their process does not answer to in time, and get another", function()
    assert(put { ["a.lua"] = hook("site/a", "program.load", "") })
    local stopped <const> = children()[1]
    uv.kill(stopped, "sigstop")
    assert.matches("has not answered in time", refused().message)
    assert(rpc.load_xdp(served, "veth0", 5))
    assert.not_equal(stopped, children()[1])
  end)

  it("harm no request by observing", function()
    assert(put { ["wild.lua"] = hook("site/wild", "{ 'program.load.done', 'program.unload.done' }",
      "('a'):rep(5000):find(('.-'):rep(30) .. 'b')"),
      ["b.lua"] = hook("site/b", "program.load", "") })
    for _ = 1, 3 do
      local loaded = assert(rpc.load_xdp(served, "veth0", 5))
      assert(rpc.call(served, "program.unload", { id = loaded.id }))
    end
    assert.truthy(log_has "wild.lua:1: site/wild has run for 50 ms")
  end)

  it("keep their state from call to call, and lose it with their process", function()
    assert(put { ["a.lua"] = hook("site/count", "program.load", [[
      state.loads = (state.loads or 0) + 1
      return hooks.amend { metadata = { nth = tostring(state.loads) } }]]) })
    for nth = 1, 3 do
      assert.equal(tostring(nth), assert(rpc.load_xdp(served, "veth0", 5)).metadata.nth)
    end
    assert.is_true(core.system.kill(children()[1], "KILL"))
    local after
    process.eventually(function()
      after = rpc.load_xdp(served, "veth0", 5)
      return after
    end)
    assert.equal("1", after.metadata.nth)
  end)

  it("keep it from dry runs, those that hang too", function()
    assert(put { ["a.lua"] = hook("site/count", "program.load", [[
      if event.name == "slow" then ('a'):rep(5000):find(('.-'):rep(30) .. 'b') end
      state.loads = (state.loads or 0) + 1
      return hooks.amend { metadata = { nth = tostring(state.loads) } }]]) })
    assert.equal("1", assert(rpc.load_xdp(served, "veth0", 5)).metadata.nth)
    local attach <const> = { type = "xdp", iface = "veth0", priority = 5 }
    local tried = rpc.call(served, "policy.test", { events = {
      { on = "program.load", name = "x", attach = attach },
      { on = "program.load", name = "x", attach = attach } } })
    assert.equal("2", tried.outcomes[2].amended[1].to)
    local _, err = rpc.call(served, "policy.test", { events = {
      { on = "program.load", name = "slow", attach = attach } } })
    assert.matches("site/count has run for 50 ms", err.message)
    assert.equal("2", assert(rpc.load_xdp(served, "veth0", 5)).metadata.nth)
    assert.equal(1, #children())
  end)

  it("stay as they were when a reload finds a broken file", function()
    assert(put { ["a.lua"] = hook("site/closed", "program.load", "return hooks.deny 'closed'") })
    served:policy("b.lua", "x = = 1")
    written["b.lua"] = ""
    local result = rpc.call(served, "policy.reload")
    assert.is_nil(result)
    local _, err = rpc.call(served, "policy.reload")
    assert.matches("/policy.d/b.lua:1: unexpected symbol", err.message)
    assert.matches("mend it", err.advice)
    assert.matches("closed", refused().message)
    local list = rpc.call(served, "policy.list")
    assert.matches("b.lua:1:", list.problem)
    assert.is_true(list.in_force)
    assert.equal("site/closed", list.hooks[1].name)
  end)

  it("are read anew on SIGHUP", function()
    served:policy("a.lua", hook("site/closed", "program.load", "return hooks.deny 'closed'"))
    written["a.lua"] = ""
    served.process:signal "sighup"
    assert.truthy(process.eventually(function()
      return #rpc.call(served, "policy.list").hooks == 1
    end))
    assert.matches("closed", refused().message)
  end)

  it("deny everything while they are broken from the start", function()
    local loaded = assert(rpc.load_xdp(served, "veth0", 5))
    served:policy("a.lua", "\nwhile true do end")
    written["a.lua"] = ""
    served:stop()
    served:restart()
    local err = refused()
    assert.equal("core/policies", err.hook)
    assert.matches("/policy.d/a.lua:2: it has run for 200000 instructions", err.message)
    assert.matches("bpfctl policy reload", err.advice)
    assert.is_nil(rpc.call(served, "program.unload", { id = loaded.id }))
    assert.equal(1, #assert(rpc.call(served, "program.list")).programs)
    assert.is_false(rpc.call(served, "policy.list").in_force)
    assert(put {})
    assert(rpc.call(served, "program.unload", { id = loaded.id }))
  end)

  it("are only taken from files that nobody else can write", function()
    served:policy("a.lua", hook("site/a", "program.load", ""))
    written["a.lua"] = ""
    process.check { "chmod", "o+w", served.directory .. "/policy.d/a.lua" }
    local _, err = rpc.call(served, "policy.reload")
    assert.matches("a.lua:1: others than root can write it", err.message)
    process.check { "chmod", "o-w", served.directory .. "/policy.d/a.lua" }
    process.check { "chown", "4711", served.directory .. "/policy.d/a.lua" }
    _, err = rpc.call(served, "policy.reload")
    assert.matches("others than root", err.message)
  end)

  it("run in a process without rights, and small", function()
    assert(put { ["a.lua"] = hook("site/a", "program.load", "") })
    local running = rpc.call(served, "policy.list").process
    local file <close> = assert(io.open(("/proc/%d/status"):format(running.pid)))
    local status = file:read "a"
    for _, field in ipairs { "CapPrm:\t0+\n", "CapEff:\t0+\n", "NoNewPrivs:\t1\n" } do
      assert.matches(field, status)
    end
    assert.is_true(running.private > 0 and running.private < 4 << 20)
    local open = core.system.list(("/proc/%d/fd"):format(running.pid))
    for _, number in ipairs(open) do
      local path = process.check { "readlink", ("/proc/%d/fd/%s"):format(running.pid, number) }
      assert.matches("^socket:", (path:gsub("^/dev/null", "socket:")
        :gsub("^" .. served.log:gsub("%-", "%%-"), "socket:")))
    end
  end)

  it("end with the daemon, however that ends", function()
    assert(put { ["a.lua"] = hook("site/a", "program.load", "") })
    local helper <const> = children()[1]
    served:kill()
    assert.is_true(process.eventually(function()
      return not core.system.facts(("/proc/%d"):format(helper))
    end, 5000))
    served:restart()
    assert.equal(1, #children())
  end)

  it("are tried on events without consequence", function()
    assert(put { ["a.lua"] = hook("site/a", "program.load",
      "if event.attach.priority < 10 then return hooks.amend { attach = { priority = 10 } } end")
      .. hook("site/b", "program.load", "if event.name == 'x' then return hooks.deny 'no x' end") })
    local attach <const> = { type = "xdp", iface = "eth7", priority = 5 }
    local outcomes = rpc.call(served, "policy.test", { events = {
      { on = "program.load", name = "x", attach = attach, peer = { uid = 7, groups = {} } },
      { on = "program.unload", id = 7 } } }).outcomes
    assert.same({ "amend", "deny" }, { outcomes[1].decisions[1].decision,
      outcomes[1].decisions[2].decision })
    assert.equal("no x", outcomes[1].decisions[2].reason)
    assert.is_true(outcomes[1].decisions[1].microseconds > 0)
    assert.same({}, outcomes[2].decisions)
    assert.equal(1, #children())
    for bad, pattern in pairs { [{ on = "program.laod" }] = "mean program.load", [{}] = "`on`" } do
      local none, err = rpc.call(served, "policy.test", { events = { bad } })
      assert.is_nil(none)
      assert.matches(pattern, err.message)
    end
  end)

  it("are listed, reloaded and tried by bpfctl policy", function()
    served:policy("a.lua", hook("site/a", "{ 'program.load', 'link.up' }",
      "if event.attach.priority < 10 then return hooks.deny 'too early' end"))
    written["a.lua"] = ""
    assert.equal("", served:check("policy", "reload"))
    local list = served:check("policy", "list")
    assert.matches("\n site/a  program.load  [^\n]*/policy.d/a.lua:1\n         link.up\n", list)
    assert.matches("\n In Force:  yes\n Process:   %d+, with %d+ KiB of its own\n", list)
    assert.equal("site/a\n", served:check("-q", "policy", "list"))
    refused(5)
    assert.matches("program.load +0 +count_xdp +veth0", served:check("policy", "events"))
    local recorded = served.directory .. "/events.json"
    local file <close> = assert(io.open(recorded, "w"))
    file:write(served:check("-o", "json", "policy", "events"))
    file:close()
    -- the recorded request, by the policies in force and by others
    assert.matches("program.load +site/a +deny +%d+ +too early\n",
      served:check("policy", "test", recorded))
    local other = served.directory .. "/other.lua"
    local text <close> = assert(io.open(other, "w"))
    text:write(hook("site/other", "program.load", "assert(event.peer.groups[0])"))
    text:close()
    for _, arguments in ipairs { { other, recorded }, { other } } do
      assert.matches("program.load +site/other +none +%d+\n",
        served:check("policy", "test", table.unpack(arguments)))
    end
    served:policy("b.lua", "x = = 1")
    written["b.lua"] = ""
    local result = served:bpfctl("policy", "reload")
    assert.equal(1, result.exit)
    assert.matches("^bpfctl: reloading the policies: [^\n]*b.lua:1: unexpected symbol[^\n]*mend it",
      result.stderr)
    assert.matches("\n Problem:   [^\n]*b.lua:1:", served:check("policy", "list"))
  end)
end)
