local bpf = require "bpf"
local core = require "bpf.core"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

describe("the maps of what is loaded", function()
  local served <const>, pair <const> = host.for_all()
  host.leaves_nothing(served)

  local function names(directory)
    local list = assert(core.system.list(directory))
    table.sort(list)
    return list
  end

  it("are pinned by name, but for data sections", function()
    local program = assert(rpc.load_xdp(served, "veth0", 1))
    assert.equal(("%s/fs/maps/%d"):format(served.run_dir, program.id), program.map_pin_path)
    assert.same({ "hits", "other" }, names(program.map_pin_path))
    assert.same({ program.id }, program.map_used_by)
  end)

  it("are nobody else's, whatever the object says of pinning", function()
    local a, b = assert(rpc.load_xdp(served, "veth0", 1)), assert(rpc.load_xdp(served, "veth0", 2))
    namespace.send(pair, 10)
    assert.same({ 10, 10 }, { rpc.hits(a), rpc.hits(b) })
    local map_a <close> = assert(bpf.map.open_pin(a.map_pin_path .. "/hits"))
    local map_b <close> = assert(bpf.map.open_pin(b.map_pin_path .. "/hits"))
    assert.not_equal(map_a:info().id, map_b:info().id)
    assert.is_nil((core.system.facts "/sys/fs/bpf/hits"))
  end)

  it("are shared with --map-owner-id, and live until their last user goes", function()
    local owner = assert(rpc.load_xdp(served, "veth0", 1))
    local user = assert(rpc.load_xdp(served, "veth0", 2, { map_owner_id = owner.id }))
    assert.same({ owner.map_pin_path, owner.id }, { user.map_pin_path, user.map_owner_id })
    assert.same({ owner.id, user.id }, user.map_used_by)
    namespace.send(pair, 10)
    assert.equal(20, rpc.hits(owner))
    assert(rpc.call(served, "program.unload", { id = owner.id }))
    namespace.send(pair, 5)
    assert.equal(25, rpc.hits(user))
    local late = assert(rpc.load_xdp(served, "veth0", 3, { map_owner_id = owner.id }))
    assert.same({ user.id, late.id }, late.map_used_by)
    assert(rpc.call(served, "program.unload", { id = user.id }))
    assert.same({ "hits", "other" }, names(late.map_pin_path))
    assert(rpc.call(served, "program.unload", { id = late.id }))
    assert.is_nil((core.system.facts(late.map_pin_path)))
  end)

  it("of a sharer that the owner lacks are its own, seen, and gone with it", function()
    local owner = assert(rpc.load_xdp(served, "veth0", 1))
    local function share(priority)
      return assert(rpc.load(served, { name = "count_twice", map_owner_id = owner.id,
        attach = { type = "xdp", iface = "veth0", priority = priority } }, rpc.sharer_object))
    end
    local user, second = share(2), share(3)
    local directory <const> = ("%s/fs/maps/%d"):format(served.run_dir, user.id)
    assert.same({ "mine" }, names(directory))
    assert.equal(owner.map_pin_path, user.map_pin_path)
    namespace.send(pair, 4)
    local seen = {}
    for _, map in ipairs(assert(rpc.call(served, "map.list", { program_id = user.id })).maps) do
      seen[map.name] = map.pin_path
    end
    assert.same({ hits = owner.map_pin_path .. "/hits", other = owner.map_pin_path .. "/other",
      mine = directory .. "/mine" }, seen)
    local _, descriptors = rpc.call(served, "map.open", { program_id = user.id, name = "mine" })
    descriptors[1]:close()
    local mine <close> = assert(bpf.map.open_pin(directory .. "/mine"))
    assert.same({ 12, 4 }, { rpc.hits(owner), (("<I8"):unpack(mine:lookup(("\0"):rep(4)))) })
    served:kill()
    served:restart()
    assert.same({ "mine" }, names(directory))
    assert(rpc.call(served, "program.unload", { id = user.id }))
    assert.is_nil((core.system.facts(directory)))
    assert.same({ "mine" }, names(("%s/fs/maps/%d"):format(served.run_dir, second.id)))
  end)

  it("are not shared with another shape, with none in common, or at second hand", function()
    local owner = assert(rpc.load_xdp(served, "veth0", 1))
    local user = assert(rpc.load_xdp(served, "veth0", 2, { map_owner_id = owner.id }))
    local here = residue.scan(served)
    local attach = { type = "xdp", iface = "veth0", priority = 3 }
    local _, err = rpc.load(served, { name = "other_shape", map_owner_id = owner.id,
      attach = attach }, rpc.other_object)
    assert.matches("hits", tostring(err))
    assert.matches("2", tostring(err)) -- both shapes are told
    _, err = rpc.load(served, { name = "pass", map_owner_id = owner.id, attach = attach },
      os.getenv "BUILD" .. "/examples/xdp_pass_kern.o")
    assert.matches("no map of the same name", tostring(err))
    _, err = rpc.load_xdp(served, "veth0", 3, { map_owner_id = user.id })
    assert.matches(("program %d"):format(owner.id), tostring(err))
    assert.equal(here, residue.settled(served, here))
  end)

  it("are listed, and opened for who asks", function()
    local program = assert(rpc.load_xdp(served, "veth0", 1))
    local maps = assert(rpc.call(served, "map.list", { program_id = program.id })).maps
    assert.same({ "hits", "other" }, { maps[1].name, maps[2].name })
    assert.equal(2, #rpc.call(served, "map.list").maps)
    namespace.send(pair, 7)
    for _, wanted in ipairs { { program_id = program.id, name = "hits" }, { id = maps[1].id } } do
      local answer, descriptors = rpc.call(served, "map.open", wanted)
      assert.equal(0, answer.fd)
      local path = "/proc/self/fdinfo/" .. descriptors[1]:fd()
      local file <close> = assert(io.open(path))
      assert.matches("map_id:%s*" .. maps[1].id, (file:read "a"))
      descriptors[1]:close()
    end
    local _, err = rpc.call(served, "map.open", { program_id = program.id, name = "nothing" })
    assert.matches("hits", err.advice)
    _, err = rpc.call(served, "map.open", { id = 4294967295 })
    assert.equal("ENOENT", err.code)
    _, err = rpc.call(served, "map.open", { id = maps[1].id, mode = "w" })
    assert.equal("EINVAL", err.code)
  end)

  it("are opened for reading alone unless more is asked for", function()
    local program = assert(rpc.load_xdp(served, "veth0", 1))
    local function flags_of(mode)
      local _, descriptors = rpc.call(served, "map.open",
        { program_id = program.id, name = "hits", mode = mode })
      local file <close> = assert(io.open("/proc/self/fdinfo/" .. descriptors[1]:fd()))
      local flags = (file:read "a"):match "flags:%s*(%d+)"
      descriptors[1]:close()
      return tonumber(flags, 8) & 3
    end
    assert.same({ 0, 0, 2 }, { flags_of(nil), flags_of "r", flags_of "rw" })
  end)

  it("belong to the group bpfd where there is one", function()
    local group = core.system.group_id "bpfd"
    local program = assert(rpc.load_xdp(served, "veth0", 1))
    local facts = core.system.facts(program.map_pin_path .. "/hits")
    if group then
      assert.same({ group, tonumber("660", 8) }, { facts.gid, facts.mode })
    else
      assert.equal(0, facts.mode & 7)
    end
  end)

  it("outlive the daemon and are the same after it", function()
    local program = assert(rpc.load_xdp(served, "veth0", 1))
    namespace.send(pair, 3)
    served:kill()
    served:restart()
    assert.equal(3, rpc.hits(program))
  end)
end)
