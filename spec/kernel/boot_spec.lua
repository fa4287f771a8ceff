-- Programs that were loaded with --persist: they run again when everything in the kernel is gone,
-- as after a reboot (spec/vm has a real one), each of them once.
local uv = require "luv"
local bpf = require "bpf"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local probe = require "spec.support.probe"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

describe("a program that was loaded with --persist", function()
  local served <const>, pair <const> = host.for_all()

  local function objects() return #(uv.fs_scandir(served.state_dir .. "/objects") and
    require("bpf.core").system.list(served.state_dir .. "/objects")) end

  after_each(function()
    pair.near:run { "ip", "link", "del", "late0" }
    rpc.unload_all(served)
    for _, one in ipairs(rpc.call(served, "system.status").persisted) do
      assert(rpc.call(served, "program.unload", { persisted = one.number }))
    end
    assert.equal(0, objects())
  end)

  local function reboot(change)
    served:end_boot()
    if change then change() end
    served:restart()
  end

  local function list() return assert(rpc.call(served, "program.list")).programs end

  local function get(id) return assert(rpc.call(served, "program.get", { id = id })) end

  local function persisted() return rpc.call(served, "system.status").persisted end

  local function load_xdp(priority, more)
    local params = { persist = true, metadata = { at = tostring(priority) } }
    for key, value in pairs(more or {}) do params[key] = value end
    local iface <const> = params.iface or "veth0"
    params.iface = nil
    return assert(rpc.load_xdp(served, iface, priority, params))
  end

  -- The metadata `at` of the members of veth0's chain, in running order.
  local function chain()
    local words = {}
    for i, id in ipairs(rpc.chain(served, { type = "xdp", iface = "veth0" })) do
      words[i] = get(id).metadata.at
    end
    return table.concat(words, " ")
  end

  local function place_of(program)
    local place <const> = program.attach
    place.ifindex, place.position = nil, nil
    return place
  end

  local function add_interface()
    pair.near:check { "ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1" }
  end

  local function delete_interface() pair.near:check { "ip", "link", "del", "late0" } end

  local TC <const> = { type = "tc", iface = "veth0", direction = "ingress", priority = 7 }
  local types <const> = {
    xdp = { "count_xdp", { type = "xdp", iface = "veth0", priority = 7,
      proceed_on = { "pass", "tx" } }, rpc.object },
    tc = { "count_tc", TC, rpc.object },
    tcx = { "on_packet", { type = "tcx", iface = "veth0", direction = "ingress", priority = 7 } },
    tracepoint = { "on_tracepoint", { type = "tracepoint", tracepoint = probe.tracepoint } },
    raw_tracepoint = { "on_raw_tracepoint", { type = "raw_tracepoint", tracepoint = "sys_enter" },
      global = { CALL = ("i64:%d"):format(probe.call) } },
    kprobe = { "on_kprobe", { type = "kprobe", fn_name = "HERE" } },
    uprobe = { "on_uprobe", { type = "uprobe", target = "libc", fn_name = "getpriority" } },
    fentry = { "on_fentry", { type = "fentry", fn_name = "HERE" } },
    fexit = { "on_fexit", { type = "fexit", fn_name = "HERE" } },
  }

  local function happen(kind)
    if kind == "xdp" or kind == "tc" or kind == "tcx" then
      namespace.send(pair, 5)
    else
      probe.trigger(5)
    end
  end

  local function count(program)
    for _, name in ipairs { "hits", "events" } do
      local map <close> = bpf.map.open_pin(program.map_pin_path .. "/" .. name)
      if map then return (string.unpack("=i8", assert(map:lookup(string.pack("=I4", 0))))) end
    end
  end

  for kind, case in pairs(types) do
    it("runs again as " .. kind .. ", once #boot", function()
      local reason <const> = probe.missing(kind)
      if reason then pending(reason) end
      local where = {}
      for key, value in pairs(case[2]) do
        where[key] = value == "HERE" and probe.kernel_function() or value
      end
      local global = case.global or {}
      if case[3] == nil and kind ~= "tcx" then global.ONLY_PID = ("u32:%d"):format(probe.pid) end
      local before <const> = assert(rpc.load(served, { name = case[1], attach = where,
        persist = true, metadata = { owner = "acme" }, global = global }, case[3] or probe.object))
      reboot()
      local after <const> = get(list()[1].id)
      assert.equal(1, #list())
      assert.not_equal(before.id, after.id)
      for _, key in ipairs { "name", "type", "metadata", "global", "digest", "persist", "path" } do
        assert.same(before[key], after[key], key)
      end
      assert.same(place_of(before), place_of(after))
      happen(kind)
      assert(process.eventually(function() return count(after) == 5 end, 2000), count(after))

      served:kill()
      served:restart()
      assert.equal(1, #list())
      assert.equal(after.id, list()[1].id)
    end)
  end

  it("has its place among others on its hook; those that were not persisted are gone", function()
    for _, priority in ipairs { 20, 10, 20 } do load_xdp(priority) end
    load_xdp(15, { persist = false })
    load_xdp(20, { metadata = { at = "newest" } })
    assert.equal("10 15 newest 20 20", chain())
    reboot()
    assert.equal("10 newest 20 20", chain())
    reboot()
    assert.equal("10 newest 20 20", chain())
  end)

  it("shares the maps of the one whose maps it shared, whatever their ids are now", function()
    local owner <const> = load_xdp(10)
    assert(rpc.load(served, { name = "count_twice", persist = true, map_owner_id = owner.id,
      attach = { type = "xdp", iface = "veth0", priority = 5 } }, rpc.sharer_object))
    for _ = 1, 2 do
      reboot()
      local ids <const> = rpc.chain(served, { type = "xdp", iface = "veth0" })
      assert.equal(ids[2], get(ids[1]).map_owner_id)
      assert.same({ ids[2], ids[1] }, get(ids[2]).map_used_by)
    end
  end)

  it("has maps of its own where nobody has persisted those that it shared", function()
    local owner <const> = load_xdp(10, { persist = false })
    for _, priority in ipairs { 5, 6 } do
      assert(rpc.load(served, { name = "count_twice", persist = true, map_owner_id = owner.id,
        attach = { type = "xdp", iface = "veth0", priority = priority } }, rpc.sharer_object))
    end
    reboot()
    local ids <const> = rpc.chain(served, { type = "xdp", iface = "veth0" })
    table.sort(ids)
    assert.is_nil(get(ids[1]).map_owner_id)
    assert.equal(ids[1], get(ids[2]).map_owner_id)
  end)

  it("is loaded from the bytes that were loaded, whatever its file is now", function()
    local path <const> = served.directory .. "/moved.o"
    process.check { "cp", rpc.object, path }
    local before <const> = assert(rpc.load_xdp(served, "veth0", 5, { persist = true }))
    local other <const> = assert(rpc.load(served, { name = "count_xdp", persist = true,
      attach = { type = "xdp", iface = "veth0", priority = 6 } }, path))
    assert.equal(1, objects())
    process.check { "cp", rpc.other_object, path }
    reboot()
    local ids <const> = rpc.chain(served, { type = "xdp", iface = "veth0" })
    assert.equal(other.path, get(ids[2]).path)
    for _, id in ipairs(ids) do assert.equal(before.digest, get(id).digest) end
  end)

  it("waits for its interface, and holds nobody up", function()
    add_interface()
    load_xdp(10)
    local waiting <const> = load_xdp(11, { iface = "late0" })
    reboot(delete_interface)
    assert.equal(1, #list())
    assert.same({ "running", "waiting" }, { persisted()[1].state, persisted()[2].state })
    assert.matches("%d +None +count_xdp +xdp +late0 +waiting for late0\n", served:check "status")
    served:kill()
    served:restart()
    assert.equal(1, #list())
    add_interface()
    assert(process.eventually(function() return #list() == 2 end, 5000))
    assert.equal(waiting.metadata.at, list()[2].metadata.at)
    assert.equal("late0", list()[2].attach.iface)

    -- and so it does when that goes for a while
    delete_interface()
    assert(process.eventually(function() return #list() == 1 end, 5000))
    add_interface()
    assert(process.eventually(function() return #list() == 2 end, 5000))
    delete_interface()
    assert(process.eventually(function() return #list() == 1 end, 5000))
  end)

  it("is told with the reason where it cannot be loaded, and holds nobody up", function()
    local bad <const> = assert(rpc.load(served, { name = "on_packet", persist = true,
      attach = TC }, probe.object))
    load_xdp(10)
    local copy <const> = ("%s/objects/%s"):format(served.state_dir, (bad.digest:gsub(":", "-")))
    reboot(function()
      local file <close> = assert(io.open(copy, "a"))
      file:write "damage"
    end)
    assert.equal("xdp", list()[1].type)
    assert.equal("failed", persisted()[1].state)
    assert.matches("failed: .*the copy of .*probe.o that was kept is damaged",
      served:check "status")
    assert.matches("persisted as %d+, cannot be loaded again: .*damaged", served:log_text())
  end)

  it("is asked about again, alone where not all of its hook may come back", function()
    load_xdp(10, { metadata = { at = "10", owner = "acme" } })
    load_xdp(20)
    load_xdp(30, { metadata = { at = "30", owner = "acme" } })
    served:policy("a.lua", [[return hooks.add { name = "site/a", on = "program.load",
      run = function(event)
        if event.metadata.owner == "acme" then return hooks.deny "no acme here" end
        return hooks.amend { attach = { priority = event.attach.priority + 100 } }
      end }]])
    reboot()
    assert.equal("20", chain())
    assert.equal(120, get(list()[1].id).attach.priority)
    assert.matches("failed: .*the policy site/a denies it: no acme here", served:check "status")
    reboot() -- as it was asked for: nothing is added up
    assert.equal(120, get(list()[1].id).attach.priority)
    served:policy("a.lua", nil)
    served:check "reload"
    assert.equal("10 30 20", chain())
  end)

  it("does not come back when it has been unloaded, by id, by number, or where it waits", function()
    add_interface()
    served:check("unload", tostring(load_xdp(1).id))
    load_xdp(2)
    served:check("unload", "--persisted", tostring(persisted()[1].number))
    assert.equal(0, #list())
    local gone <const> = load_xdp(3, { iface = "late0" })
    load_xdp(4, { iface = "late0" })
    delete_interface()
    assert(process.eventually(function() return #list() == 0 end, 5000))
    served:check("unload", tostring(gone.id)) -- it went with its interface
    assert.equal(1, #persisted())
    reboot()
    served:check("unload", "--persisted", tostring(persisted()[1].number))
    local again <const> = served:bpfctl("unload", "--persisted", "77")
    assert.equal(1, again.exit)
    assert.matches("no program is persisted as 77; bpfctl status shows", again.stderr)
    assert.equal("", served:check("unload", "--persisted", "--missing-ok", "77"))
    assert.same({}, persisted())
  end)

  it("comes back as what it was replaced by", function()
    local before <const> = load_xdp(10)
    local file <close> = assert(require("bpf.core").system.open(rpc.sharer_object))
    local after <const> = assert(rpc.call(served, "program.replace", { id = before.id, fd = 0,
      name = "count_twice" }, { descriptors = { file } }))
    reboot()
    assert.equal(1, #list())
    assert.equal("count_twice", list()[1].name)
    assert.equal(after.digest, get(list()[1].id).digest)
    assert.equal(1, #persisted())
  end)

  it("is not one that names a process, or a namespace without a path", function()
    local _, err = rpc.load(served, { name = "on_uprobe", persist = true, attach = {
      type = "uprobe", target = "libc", fn_name = "getpriority", pid = probe.pid } }, probe.object)
    assert.matches("persist and pid exclude each other", tostring(err))
    local unnamed <close> = assert(require("bpf.core").system.open "/proc/self/ns/net")
    local file <close> = assert(require("bpf.core").system.open(rpc.object))
    local _, other = rpc.call(served, "program.load", { fd = 0, name = "count_xdp", persist = true,
      attach = { type = "xdp", iface = "lo", priority = 5, netns_fd = 1 } },
      { descriptors = { file, unnamed } })
    assert.matches("netns net:%[%d+%] has no path by which it could be found", tostring(other))
  end)

  -- A table of somebody else's whose page is none, as a disk may have it.
  local function damage()
    local path <const> = served.state_dir .. "/bpfd.db"
    local database <close> = assert(require "bpfd_database".open(path, 500))
    assert(database:execute "CREATE TABLE other (what); PRAGMA wal_checkpoint(TRUNCATE)")
    local statement <close> = assert(database:prepare [[SELECT rootpage, page_size
      FROM sqlite_master, pragma_page_size WHERE name = 'other']])
    local row <const> = statement:row()
    local file <close> = assert(io.open(path, "r+b"))
    assert(file:seek("set", (row.rootpage - 1) * row.page_size))
    assert(file:write(("\xee"):rep(row.page_size)))
  end

  local function remove_damaged()
    for _, name in ipairs(require("bpf.core").system.list(served.state_dir)) do
      if name:find "broken" then assert(os.remove(served.state_dir .. "/" .. name)) end
    end
  end

  it("survives a database that is found damaged after the reboot", function()
    load_xdp(10)
    load_xdp(20)
    reboot(damage)
    assert.matches("database.damaged", served:log_text(), 1, true)
    assert.equal("10 20", chain())
    reboot()
    assert.equal("10 20", chain())
    remove_damaged()
  end)

  it("survives a database that is lost while it runs", function()
    load_xdp(10)
    served:kill()
    for _, suffix in ipairs { "", "-wal", "-shm" } do
      os.remove(served.state_dir .. "/bpfd.db" .. suffix)
    end
    served:restart()
    assert.equal(1, #persisted())
    reboot()
    assert.equal("10", chain())
  end)
end)
