-- Declarations through a real bpfd and bpfctl: what is applied is what packets meet.
local uv = require "luv"
local core = require "bpf.core"
local json = require "bpf.json"
local bpf_calls = require "spec.support.bpf_calls"
local bpfctl = require "spec.support.bpfctl"
local daemon = require "spec.support.daemon"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local TC_INGRESS <const> = 'type = "tc", iface = "veth0", direction = "ingress", priority = '

describe("bpfctl apply", function()
  local served <const>, pair <const> = host.for_all()

  local function apply(...) return bpfctl.apply(served, "web.lua", ...) end
  -- Must succeed; the changes by label, and all of them.
  local function applied(...) return bpfctl.applied(served, "web.lua", ...) end

  host.leaves_nothing(served, function() applied("", "--prune") end)

  -- "a 10 pass" a line: label, priority and verdict of an XDP program of veth0
  local function xdp(lines, more)
    local parts = {}
    for label, priority, verdict in lines:gmatch "(%w+) (%d+) (%w+)" do
      parts[#parts + 1] = ('program "%s" { path = "%s", name = "count_xdp", \z
        global = { VERDICT = "u32:%d" }, \z
        attach = { type = "xdp", iface = "veth0", priority = %s%s } }\n'):format(label,
        rpc.object, verdict == "drop" and 1 or 2, priority, more or "")
    end
    return table.concat(parts)
  end

  local function entry(label, name, attach, more)
    return ('program "%s" { path = "%s", name = "%s", %s attach = { %s } }\n'):format(label,
      rpc.object, name, more or "", attach)
  end

  local function actions(list)
    local words = {}
    for i, change in ipairs(list) do words[i] = change.action .. " " .. change.label end
    return table.concat(words, ", ")
  end

  -- Labels on a hook, in running order.
  local function labels(hook)
    local words = {}
    for i, id in ipairs(rpc.chain(served, hook or { type = "xdp", iface = "veth0" })) do
      words[i] = (rpc.call(served, "program.get", { id = id }) or {}).label or "-"
    end
    return table.concat(words, " ")
  end

  local function refused(text, ...)
    local list = served:check("list", "-o", "json")
    local result = apply(text, ...)
    assert.not_equal(0, result.exit)
    assert.equal("", result.stdout)
    assert.equal(list, served:check("list", "-o", "json"))
    return result.stderr
  end

  it("loads, in the file's order among equals, and says who owns what", function()
    local by_label = applied(xdp "a 50 pass b 50 pass c 10 pass")
    assert.equal("c a b", labels())
    local program = rpc.call(served, "program.get", { id = by_label.aveth0.id })
    assert.equal("web.lua", program.declared_by)
    local rows = bpfctl.rows(served:check("get", tostring(program.id)))
    assert.equal("a", rows.Label)
    assert.equal("web.lua", rows["Declared By"])
    namespace.send(pair, 20)
    assert.equal(20, rpc.hits(program))
  end)

  it("changes nothing the second time, and says so", function()
    local text = xdp "a 50 pass b 50 drop" .. entry("t", "count_call",
      'type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid"')
    local first = applied(text)
    local list = served:check("list", "-o", "json")
    local calls <close> = bpf_calls.of_children(served.pid)
    local result = apply(text)
    assert.equal(0, result.exit)
    assert.matches("web.lua: nothing to change\n$", result.stdout)
    assert.equal(list, served:check("list", "-o", "json"))
    assert.same({ 0, 0 }, { calls:count "link_create", calls:count "link_update" })
    local second = applied(text)
    assert.equal(first.aveth0.id, second.aveth0.id)
    assert.equal("", apply(text, "-q").stdout)
  end)

  it("makes ten programs of one hook one swap, whatever happens to them", function()
    local calls <close> = bpf_calls.of_children(served.pid)
    local lines = {}
    for i = 1, 10 do lines[i] = ("p%d %d pass "):format(i, i) end
    applied(xdp(table.concat(lines)))
    assert.same({ 1, 0 }, { calls:count "link_create", calls:count "link_update" })
    for i = 1, 10 do lines[i] = ("p%d %d pass "):format(i + 5, 20 - i) end -- gone, new, moved
    local _, list = applied(xdp(table.concat(lines)), "--prune")
    assert.equal(15, #list)
    assert.equal("p15 p14 p13 p12 p11 p10 p9 p8 p7 p6", labels())
    assert.same({ 1, 1 }, { calls:count "link_create", calls:count "link_update" })
  end)

  it("moves members in place: ids and counts stay", function()
    local first = applied(xdp "a 10 pass b 20 pass c 30 pass")
    namespace.send(pair, 10)
    local second, list = applied(xdp "c 5 pass a 10 pass b 20 pass")
    assert.equal("adjust c, keep a, keep b", actions(list))
    assert.equal("priority 30 -> 5", second.cveth0.why)
    assert.equal(first.cveth0.id, second.cveth0.id)
    assert.equal("c a b", labels())
    local program = rpc.call(served, "program.get", { id = first.cveth0.id })
    assert.same({ 5, 0, 10 }, { program.attach.priority, program.attach.position,
      rpc.hits(program) })
    local third = applied(xdp("c 5 pass", ', proceed_on = { "drop" }')
      .. xdp "a 10 pass b 20 pass")
    assert.equal("adjust", third.cveth0.action)
    namespace.send(pair, 10) -- c passes, which does not go on any more
    assert.same({ 20, 10 }, { rpc.hits(program),
      rpc.hits(rpc.call(served, "program.get", { id = first.aveth0.id })) })
    -- and it is so for who comes later, also without the database
    served:kill()
    for _, suffix in ipairs { "", "-wal", "-shm" } do
      os.remove(served.state_dir .. "/bpfd.db" .. suffix)
    end
    served:restart()
    local again = rpc.call(served, "program.get", { id = first.cveth0.id })
    assert.same({ 5, { "drop" } }, { again.attach.priority, again.attach.proceed_on })
  end)

  it("puts equals that have changed places in the file in the new order", function()
    applied(xdp "a 50 pass b 50 pass")
    local function change() return actions(select(2, applied(xdp "b 50 pass a 50 pass"))) end
    assert.equal("adjust b, adjust a", change())
    assert.equal("b a", labels())
    assert.equal("keep b, keep a", change())
  end)

  it("replaces what has changed, in the place of the old, and those that share its maps",
    function()
      local text = xdp "a 50 pass b 50 pass c 50 pass" .. entry("s", "count_xdp",
        'type = "xdp", iface = "veth0", priority = 60', 'map_owner = "b",')
      local first = applied(text)
      local owner = rpc.call(served, "program.get", { id = first.bveth0.id })
      assert.equal(owner.id, rpc.call(served, "program.get", { id = first.sveth0.id }).map_owner_id)
      namespace.send(pair, 10)
      assert.equal(20, rpc.hits(owner))
      local second, list = applied((text:gsub('(program "b".-VERDICT = "u32:)2', "%11")))
      assert.equal("keep a, replace b, keep c, replace s", actions(list))
      assert.equal("globals", second.bveth0.why)
      assert.matches("map owner b", second.sveth0.why)
      assert.equal("a b c s", labels())
      namespace.send(pair, 10)
      assert.equal(20, rpc.hits(rpc.call(served, "program.get", { id = first.aveth0.id })))
      assert.equal(10, rpc.hits(rpc.call(served, "program.get", { id = second.bveth0.id })))
      assert.equal(10, rpc.hits(rpc.call(served, "program.get", { id = first.cveth0.id })))
    end)

  it("removes what has left the file with --prune only, and nobody else's", function()
    local own = assert(rpc.load_xdp(served, "veth0", 15))
    bpfctl.applied(served, "other.lua", xdp "x 30 pass")
    applied(xdp "a 10 pass b 20 pass")
    local function change(...) return actions(select(2, applied(xdp "a 10 pass", ...))) end
    assert.equal("keep a, keep b", change())
    assert.matches("%-%-prune removes it", applied(xdp "a 10 pass").bveth0.why)
    assert.equal("a - b x", labels())
    assert.equal("keep a, remove b", change("--prune", "--dry-run"))
    assert.equal("a - b x", labels())
    assert.equal("keep a, remove b", change "--prune")
    assert.equal("a - x", labels())
    bpfctl.applied(served, "other.lua", "", "--prune")
    assert.same({ own.id }, { rpc.chain(served, { type = "xdp" })[2] })
  end)

  it("asks the policies, and takes what they amended as it was asked for", function()
    local own <close> = daemon.start { namespace = pair.near }
    own:policy("bands.lua", [[return hooks.add {
      name = "site/bands", on = { "program.load", "program.replace" },
      run = function(event)
        if event.attach.priority < 10 then return hooks.deny "below ten is not yours" end
        if event.attach.priority < 100 then return hooks.amend { attach = { priority = 100 } } end
      end,
    }]])
    own:check("policy", "reload")
    local function change(text)
      return actions(select(2, bpfctl.applied(own, "web.lua", text)))
    end
    local denied = bpfctl.apply(own, "web.lua", xdp "a 50 pass b 5 pass", "-o", "json")
    assert.equal(77, denied.exit)
    assert.matches('web.lua:2: program \\"b\\"', denied.stderr)
    assert.matches("below ten is not yours", denied.stderr)
    assert.equal(0, #assert(rpc.call(own, "program.list")).programs)
    assert.equal("add a, add b", change(xdp "a 50 pass b 200 pass"))
    assert.equal("keep a, keep b", change(xdp "a 50 pass b 200 pass"))
    -- no swap alone gets a priority past them
    assert.equal("keep a, replace b", change(xdp "a 50 pass b 150 pass"))
    assert.equal(77, bpfctl.apply(own, "web.lua", xdp "a 50 pass b 5 pass").exit)
    rpc.unload_all(own)
  end)

  it("changes several hooks and types at once", function()
    if not core.chain.has_tcx() then return pending "this kernel has no TCX" end
    local text = xdp "a 10 pass"
      .. entry("t", "count_tc", 'type = "tc", iface = "veth0", direction = "ingress", priority = 1')
      .. entry("u", "count_tc", 'type = "tcx", iface = "veth0", direction = "egress", priority = 1')
      .. entry("p", "count_call", 'type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid"')
    local first = applied(text)
    local second, list = applied((text:gsub("priority = 1 ", "priority = 2 ")))
    assert.equal("keep a, adjust t, replace u, keep p", actions(list))
    assert.not_equal(first.uveth0.id, second.uveth0.id)
    assert.equal(4, #assert(rpc.call(served, "program.list")).programs)
  end)

  it("is all or nothing: what fails leaves everything as it was, on every hook", function()
    applied(xdp "a 10 pass b 20 pass"
      .. entry("t", "count_tc", TC_INGRESS .. "1"))
    local here = residue.scan(served)
    local wanted <const> = xdp "b 5 drop c 7 pass" .. entry("t", "count_tc", TC_INGRESS .. "9")
      .. entry("p", "count_call", 'type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid"')
    local said = refused(wanted .. entry("bad", "out_of_bounds",
      'type = "xdp", iface = "veth0", priority = 50'), "--prune")
    assert.matches('^bpfctl: web.lua:%d+: program "bad": loading out_of_bounds from ', said)
    assert.matches("invalid access to packet", said)
    assert.equal(here, residue.settled(served, here))
    said = refused(wanted .. entry("bad", "count_call",
      'type = "tracepoint", tracepoint = "syscalls/no_such_call"'), "--prune")
    assert.matches('program "bad"', said)
    -- only the chain's own program, which no swap has put in force, may have come and gone
    assert.equal(here, residue.settled(served, here))
    assert.equal("a b", labels())
  end)

  it("swaps back what was swapped when a later swap is refused", function()
    pair.near:check { "ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1" }
    applied(xdp "a 10 pass")
    pair.near:check { "ip", "link", "set", "dev", "late0", "xdp", "object", rpc.other_object,
      "program", "other_shape" }
    namespace.send(pair, 5)
    local here = residue.scan(served)
    local said = refused(xdp "a 20 pass n 5 drop"
      .. entry("l", "count_xdp", 'type = "xdp", iface = "late0", priority = 1'))
    assert.matches("late0", said)
    assert.equal(rpc.masked(here), rpc.settled(served, here))
    assert.equal("a", labels())
    pair.near:check { "ip", "link", "del", "late0" }
  end)

  it("follows a pattern's interfaces as they come and go", function()
    local text = entry("g", "count_xdp", 'type = "xdp", iface = "dyn*", priority = 10')
      .. entry("h", "count_xdp", 'type = "xdp", iface = "dyn?", priority = 10', 'map_owner = "g",')
    local _, list = applied(text)
    assert.same({}, list)
    local function on(iface) return labels { type = "xdp", iface = iface } end
    local function wait(iface, wanted)
      process.eventually(function() return on(iface) == wanted end, 5000)
      assert.equal(wanted, on(iface))
    end
    pair.near:check { "ip", "link", "add", "dyn1", "type", "veth", "peer", "name", "other1" }
    wait("dyn1", "g h")
    pair.near:check { "ip", "link", "add", "dyn22", "type", "veth", "peer", "name", "other2" }
    wait("dyn22", "g")
    served:kill()
    pair.near:check { "ip", "link", "add", "dyn3", "type", "veth", "peer", "name", "other3" }
    pair.near:check { "ip", "link", "del", "dyn1" }
    served:restart()
    wait("dyn3", "g h")
    wait("dyn1", "")
    pair.near:check { "ip", "link", "set", "dyn22", "name", "dyn2" }
    wait("dyn2", "g h")
    pair.near:check { "ip", "link", "set", "dyn2", "name", "else2" }
    wait("else2", "")
    pair.near:check { "ip", "link", "del", "else2" }
    pair.near:check { "ip", "link", "del", "dyn3" }
    assert.is_true(process.eventually(function()
      return #assert(rpc.call(served, "program.list")).programs == 0
    end, 5000))
  end)

  it("loads on no new interface what the declaration no longer has", function()
    applied(entry("g", "count_xdp", 'type = "xdp", iface = "dyn*", priority = 10'))
    applied("", "--prune")
    pair.near:check { "ip", "link", "add", "dyn1", "type", "veth", "peer", "name", "other1" }
    applied(entry("g", "count_xdp", 'type = "xdp", iface = "dyn1", priority = 10'))
    assert.equal(1, #assert(rpc.call(served, "program.list")).programs)
    pair.near:check { "ip", "link", "del", "dyn1" }
    assert.is_true(process.eventually(function()
      return #assert(rpc.call(served, "program.list")).programs == 0
    end, 5000))
  end)

  it("loads from images, and keeps them while a pattern may need them", function()
    local image <const> = "localhost/acme/count:1"
    served:check("image", "build", "--image-url", image, "--object", rpc.object, "--store",
      served.state_dir .. "/images")
    local text = ('program "g" { image_url = "%s", pull_policy = "Never", name = "count_xdp", \z
      attach = { type = "xdp", iface = "dyn*", priority = 1 } }'):format(image)
    applied(text)
    local removal = served:bpfctl("image", "remove", image)
    assert.equal(1, removal.exit)
    pair.near:check { "ip", "link", "add", "dyn1", "type", "veth", "peer", "name", "other1" }
    assert.is_true(process.eventually(function()
      return labels { type = "xdp", iface = "dyn1" } == "g"
    end, 5000))
    local by_label, list = applied(text)
    assert.equal("keep g", actions(list))
    local program = rpc.call(served, "program.get", { id = by_label.gdyn1.id })
    assert.equal(image, program.image_url)
    assert.matches('image_url = "' .. image .. '"', served:check "export")
    applied("", "--prune")
    pair.near:check { "ip", "link", "del", "dyn1" }
    served:check("image", "remove", image)
    assert.matches('web.lua:1: program "g": the image is not in the store', refused(text))
    process.check { "rm", "-r", served.state_dir .. "/images" }
  end)

  it("takes more files than one message carries", function()
    local directory = served.directory .. "/many"
    assert(uv.fs_mkdir(directory, tonumber("755", 8)))
    local parts, source = {}, assert(core.system.open(rpc.object))
    source:close()
    for i = 1, 40 do
      local path = ("%s/%d.o"):format(directory, i)
      assert(uv.fs_copyfile(rpc.object, path))
      local file <close> = assert(io.open(path, "a"))
      file:write(("x"):rep(i)) -- other bytes: another digest
      parts[i] = ('program "m%d" { path = "many/%d.o", name = "count_xdp", \z
        attach = { type = "xdp", iface = "veth0", priority = 7 } }\n'):format(i, i)
    end
    local file = served.directory .. "/many.lua"
    local written <close> = assert(io.open(file, "w"))
    written:write(table.concat(parts))
    written:close()
    local result = bpfctl.run(served, { "apply", file, "-o", "json" }) -- paths are by the file
    assert.equal(0, result.exit, result.stderr)
    assert.equal(40, #json.decode(result.stdout).changes)
    assert.equal(40, #rpc.chain(served, { type = "xdp", iface = "veth0" }))
    assert.equal(40, #assert(core.system.list(served.state_dir .. "/objects")))
    local empty <close> = assert(io.open(file, "w"))
    empty:close()
    assert.equal(0, bpfctl.run(served, { "apply", file, "--prune" }).exit)
    assert.same({}, core.system.list(served.state_dir .. "/objects"))
    process.check { "rm", "-r", directory, file }
  end)
end)
