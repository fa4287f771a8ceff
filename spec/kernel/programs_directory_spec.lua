-- programs.d: what its files declare runs when the daemon has started, once; what cannot be had
-- holds nobody up.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local daemon = require "spec.support.daemon"
local host = require "spec.support.host"
local layout_server = require "spec.support.layout_server"
local namespace = require "spec.support.namespace"
local oci = require "spec.support.oci"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

local EXAMPLES <const> = assert(uv.fs_realpath(bpfctl.examples))

describe("programs.d", function()
  local served <const>, pair <const> = host.for_all { declarations = { ["00-none.lua"] = "" } }
  host.leaves_nothing(served, function()
    pair.near:run { "ip", "link", "del", "late0" }
    local directory <const> = served.directory .. "/programs.d"
    for name in uv.fs_scandir_next, assert(uv.fs_scandir(directory)) do
      if name ~= "00-none.lua" then assert(os.remove(directory .. "/" .. name)) end
    end
    assert(uv.fs_chmod(directory, tonumber("755", 8)))
    served:check "reload"
  end)

  local function entry(label, iface, priority, more)
    return ('program "%s" { path = "%s", name = "count_xdp", %s attach = { type = "xdp", \z
      iface = "%s", priority = %d } }\n'):format(label, rpc.object, more or "", iface, priority)
  end

  local function restart()
    served:stop()
    served:restart()
  end

  local function list() return assert(rpc.call(served, "program.list")).programs end

  -- "label iface" of all that run, sorted.
  local function running()
    local words = {}
    for i, program in ipairs(list()) do words[i] = program.label .. " " .. program.attach.iface end
    table.sort(words)
    return table.concat(words, ", ")
  end

  local function state(name)
    for _, one in ipairs(rpc.call(served, "system.status").declarations) do
      if one.name == name then return one end
    end
  end

  local function add_interface()
    pair.near:check { "ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1" }
  end

  it("is in force when the daemon has started, once, and again after a reboot", function()
    served:declaration("web.lua", entry("a", "veth0", 10) .. entry("b", "veth0", 20))
    restart()
    assert.equal("a veth0, b veth0", running())
    local ids <const> = { list()[1].id, list()[2].id }
    namespace.send(pair, 3)
    assert(process.eventually(function()
      return rpc.hits(rpc.call(served, "program.get", { id = ids[1] })) == 3
    end, 2000))
    restart()
    served:kill()
    served:restart()
    assert.same(ids, { list()[1].id, list()[2].id })
    served:end_boot()
    served:restart()
    assert.equal("a veth0, b veth0", running())
    assert.matches("web.lua +2 +applied\n", served:check "status")
  end)

  it("is called applied when all that it declares runs, and no moment earlier", function()
    local names <const>, entries <const> = {}, {}
    for i = 1, 8 do entries[i] = entry("p" .. i, "veth0", i * 10) end
    for i = 1, 4 do
      names[i] = ("many-%d.lua"):format(i)
      served:declaration(names[i], entries[2 * i - 1] .. entries[2 * i])
    end
    local reload = process.start { bpfctl.path, "--socket", served.socket, "reload" }
    local seen = {}
    repeat
      local done <const> = not reload:alive()
      for _, name in ipairs(names) do
        local one <const> = state(name)
        if one then
          seen[one.state] = true
          if one.state == "applied" then assert.equal(2, one.programs, name) end
        end
      end
    until done
    assert.equal(0, reload.status)
    assert.same({ applying = true, applied = true }, seen)
  end)

  it("is applied as a change where a file is another one, and ends with it", function()
    served:declaration("web.lua", entry("a", "veth0", 10) .. entry("b", "veth0", 20))
    served:check "reload"
    local first <const> = list()[1].id
    served:declaration("web.lua", entry("a", "veth0", 10) .. entry("c", "veth0", 20))
    restart()
    assert.equal("a veth0, c veth0", running())
    assert.equal(first, list()[1].id)
    served:declaration("web.lua", nil)
    served.process:signal "sighup"
    assert(process.eventually(function() return running() == "" end, 5000))
    assert.matches("web.lua is gone, and what it declared is unloaded", served:log_text())
    assert.is_nil(state "web.lua")
  end)

  it("gives back what was unloaded by hand at the next start", function()
    served:declaration("web.lua", entry("a", "veth0", 10))
    served:check "reload"
    served:check("unload", tostring(list()[1].id))
    add_interface()
    assert.equal("", running())
    restart()
    assert.equal("a veth0", running())
  end)

  it("waits for interfaces, and so do those that share maps with what waits", function()
    served:declaration("web.lua", entry("a", "late0", 10) .. entry("b", "veth0", 10)
      .. entry("c", "veth0", 20, 'map_owner = "a",') .. entry("p", "late*", 30))
    restart()
    assert.equal("b veth0", running())
    assert.same({ "late0" }, state("web.lua").waiting_for)
    assert.matches("web.lua +1 +waiting for late0\n", served:check "status")
    add_interface()
    assert(process.eventually(function()
      return running() == "a late0, b veth0, c veth0, p late0, p late1"
    end, 5000), running())
    local owner
    for _, program in ipairs(list()) do
      if program.label == "a" then owner = program.id end
    end
    for _, program in ipairs(list()) do
      local found <const> = rpc.call(served, "program.get", { id = program.id }).map_owner_id
      assert.equal(program.label == "c" and owner or nil, found)
    end
    assert.equal("applied", state("web.lua").state)
  end)

  local broken <const> = {
    ["is no Lua"] = { 'program "a" {', "broken.lua:1: " },
    ["declares what cannot be"] = { entry("a", "veth0", 10, "prority = 1,"),
      "broken.lua:1: program \"a\": there is no key prority; did you mean" },
    ["runs for ever"] = { "while true do end", "it runs for too long" },
    ["names an object that is not there"] = { entry("a", "veth0", 10):gsub("daemon.o", "none.o"),
      "none.o" },
    ["names a program that the verifier refuses"] = {
      entry("a", "veth0", 10) .. entry("b", "veth0", 20):gsub("count_xdp", "out_of_bounds"),
      "loading out_of_bounds from" },
  }

  for what, case in pairs(broken) do
    it("keeps what it had where a file " .. what .. ", and holds nobody up", function()
      served:declaration("broken.lua", entry("old", "veth0", 50))
      served:check "reload"
      served:declaration("broken.lua", case[1])
      served:declaration("web.lua", entry("a", "veth0", 10))
      local result <const> = served:bpfctl "reload"
      assert.equal(1, result.exit)
      assert.matches(case[2], result.stderr, 1, true)
      assert.equal("a veth0, old veth0", running())
      restart()
      assert.equal("a veth0, old veth0", running())
      assert.equal("failed", state("broken.lua").state)
      assert.matches(case[2], state("broken.lua").problem, 1, true)
      assert.equal("applied", state("web.lua").state)
    end)
  end

  it("refuses what others than root could have written", function()
    local directory <const> = served.directory .. "/programs.d"
    served:declaration("web.lua", entry("a", "veth0", 10))
    served:declaration("theirs.lua", entry("b", "veth0", 20))
    assert(uv.fs_chmod(directory .. "/web.lua", tonumber("664", 8)))
    assert(uv.fs_chown(directory .. "/theirs.lua", 65534, 0))
    local result <const> = served:bpfctl "reload"
    assert.matches("web.lua:1: others than root can write it; chown root .*web.lua && chmod go%-w",
      result.stderr)
    assert.matches("theirs.lua:1: others than root can write it", result.stderr)
    assert.equal("", running())

    assert(uv.fs_chmod(directory .. "/web.lua", tonumber("644", 8)))
    served:bpfctl "reload"
    assert.equal("a veth0", running())
    assert(uv.fs_chmod(directory, tonumber("777", 8)))
    assert.matches("programs.d: others than root can write it", served:bpfctl("reload").stderr)
    assert.equal("a veth0", running()) -- what is not to be seen unloads nothing
    assert.matches("Problem: +%S*programs.d: others than root", served:check "status")
  end)

  it("has nothing but its files' own word: no backups, no folders, nothing hidden", function()
    for _, name in ipairs { "web.lua~", ".web.lua", "web.txt", "#web.lua#" } do
      served:declaration(name, "this is no Lua")
    end
    assert.equal("", served:check "reload")
    assert.is_nil(state "web.txt")
  end)

  it("has the maps that persisted programs share, when it is in force again", function()
    served:declaration("web.lua", entry("a", "veth0", 10))
    served:check "reload"
    local sharer <const> = { name = "count_twice", persist = true, map_owner_id = list()[1].id,
      attach = { type = "xdp", iface = "veth0", priority = 20 } }
    assert(rpc.load(served, sharer, rpc.sharer_object))
    served:end_boot()
    served:declaration("web.lua", "broken")
    served:restart()
    assert.equal(0, #list())
    assert.matches('waiting for program "a", whose maps it shares\n', served:check "status")
    served:declaration("web.lua", entry("a", "veth0", 10))
    served:check "reload"
    served:end_boot()
    served:restart()
    local ids <const> = rpc.chain(served, { type = "xdp", iface = "veth0" })
    assert.equal(ids[1], rpc.call(served, "program.get", { id = ids[2] }).map_owner_id)
  end)

  it("keeps of an apply by hand what is persisted in it, labels and owners too", function()
    local text <const> = entry("owner", "veth0", 10)
      .. entry("a", "veth0", 20, 'persist = true, map_owner = "owner",')
      .. entry("b", "veth0", 30, 'persist = true, map_owner = "owner",')
      .. entry("p", "late*", 40, "persist = true,") .. entry("gone", "veth0", 50, "persist = true,")
    bpfctl.applied(served, "hand.lua", text)
    for _, program in ipairs(list()) do
      if program.label == "gone" then served:check("unload", tostring(program.id)) end
    end
    served:end_boot()
    served:restart()
    assert.equal("a veth0, b veth0", running())
    for _, program in ipairs(list()) do
      local found <const> = rpc.call(served, "program.get", { id = program.id })
      assert.equal("hand.lua", found.declared_by)
      assert.equal(program.label == "b" and list()[1].id or nil, found.map_owner_id)
    end
    add_interface()
    assert(process.eventually(function()
      return running() == "a veth0, b veth0, p late0, p late1"
    end, 5000), running())
    assert.equal("applied", state("hand.lua").state)
    bpfctl.applied(served, "hand.lua", "", "--prune")
  end)
end)

describe("programs.d with images", function()
  local directory <const> = ("/tmp/bpfd-spec-%d-boot-images"):format(uv.os_getpid())
  local down <const> = directory .. "/down"
  local failing, hanging, served

  setup(function()
    assert(uv.fs_mkdir(directory, 448))
    process.check { "touch", down }
    local file <close> = assert(io.open(EXAMPLES .. "/sys_enter_openat.o", "rb"))
    oci.put(directory .. "/layout", "any/opens:1", {
      labels = { ["io.ebpf.programs"] = '{"sys_enter_openat":"tracepoint"}' },
      layers = { oci.layer { { name = "opens.o", data = file:read "a" } } } })
    failing = layout_server.start(directory .. "/layout", { down = down })
    hanging = require("spec.support.http_server").start(
      "return function() return { body = 'x', truncate = 0, stall = true } end")
  end)

  teardown(function()
    for _, each in ipairs { served or false, failing or false, hanging or false } do
      if each then each:close() end
    end
    process.check { "rm", "-rf", directory }
  end)

  local function states()
    local words = {}
    for i, one in ipairs(rpc.call(served, "system.status").declarations) do words[i] = one.state end
    return table.concat(words, " ")
  end

  it("does not wait for a registry that hangs, and asks one that fails again", function()
    local image <const> = 'program "opens" { image_url = "%s/any/opens:1", \z
      attach = { type = "tracepoint", tracepoint = "syscalls/sys_enter_openat" } }'
    served = daemon.start {
      config = ([[return { registries = { ["%s"] = { plain_http = true },
        ["%s"] = { plain_http = true } }, images = { timeout = "60s" } }]]):format(failing.host,
        hanging.host),
      declarations = { ["a-hangs.lua"] = image:format(hanging.host),
        ["b-fails.lua"] = image:format(failing.host),
        ["c-works.lua"] = ('program "call" { path = "%s", name = "count_call", attach = { \z
          type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" } }'):format(rpc.object) },
    }
    assert(process.eventually(function() return states() == "pulling failed applied" end, 20000),
      states())
    os.remove(down)
    assert(process.eventually(function() return states() == "pulling applied applied" end, 20000),
      states())
    assert.equal(2, #rpc.call(served, "program.list").programs)

    -- it is in the store now: no registry is asked at the next boot
    process.check { "touch", down }
    served:end_boot { kill = true }
    os.remove(served.directory .. "/programs.d/a-hangs.lua")
    served:restart()
    assert.equal("applied applied", states())
  end)
end)
