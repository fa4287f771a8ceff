-- Maps shared by --map-owner-id, with and without PIN_BY_NAME in the object.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local OBJECTS <const> = os.getenv "BUILD" .. "/objects/"

describe("maps", function()
  local bpfd <const>, pair <const> = host.for_all()

  after_each(function() rpc.unload_all(bpfd) end)

  local function load_xdp(object, name, ...)
    return bpfd:load("-p", object, "-n", name, ...)
  end

  local function directory(id)
    return ("%s/fs/maps/%s"):format(bpfd.run_dir, id)
  end

  local function map_ids(id)
    local ids = {}
    for i, map in ipairs(bpfd:json("get", id).kernel.map_ids) do ids[i] = math.tointeger(map) end
    return ids
  end

  local function has(list, value)
    for _, item in ipairs(list) do
      if item == value then return true end
    end
    return false
  end

  it("are not shared by name alone", function()
    local object = bpfctl.examples .. "go-xdp-counter/bpf_bpfel.o"
    local a = load_xdp(object, "xdp_stats", "xdp", "-i", "veth0", "-p", "1")
    local b = load_xdp(object, "xdp_stats", "xdp", "-i", "veth0", "-p", "2")
    assert.are_not.same(map_ids(a), map_ids(b))
  end)

  it("are read as Lua values by examples/counters.lua", function()
    local id = load_xdp(bpfctl.examples .. "go-xdp-counter/bpf_bpfel.o", "xdp_stats",
      "xdp", "-i", "veth0", "-p", "1")
    namespace.send(pair, 5)
    local printed
    process.eventually(function()
      printed = process.check({ "lua5.4", "examples/counters.lua", id },
        { env = { BPFD_SOCKET = bpfd.socket } })
      return printed:find("rx_packets = 5", 1, true)
    end, 2000)
    assert.is_truthy(printed:find("xdp_stats_map\n.*  2: { rx_bytes = %d+, rx_packets = 5 }\n"),
      printed)
  end)

  it("are listed with their owner", function()
    local id = load_xdp(OBJECTS .. "verdict_xdp.o", "verdict", "xdp", "-i", "veth0", "-p", "1")
    local map = bpfd:json("map", "list", id)[1]
    assert.are.equal("runs", map.name)
    assert.are.equal(id, tostring(math.tointeger(map.map_owner_id)))
    local listed = bpfd:check("map", "list")
    assert.is_truthy(listed:find "^ Map ID +Name  Type   Key %(bytes%)", listed)
    assert.is_truthy(listed:find("\n " .. math.tointeger(map.id) .. " +runs  array  4 +8 +%d+ +"
      .. id .. "\n"), listed)
    assert.are.equal(math.tointeger(map.id) .. "\n", bpfd:check("-q", "map", "list"))
  end)

  it("without PIN_BY_NAME are the owner's where name and shape agree", function()
    local object = OBJECTS .. "verdict_xdp.o"
    local owner = load_xdp(object, "verdict", "xdp", "-i", "veth0", "-p", "1")
    local sharer = load_xdp(object, "verdict", "--map-owner-id", owner, "-g", "VERDICT=u32:2",
      "xdp", "-i", "veth0", "-p", "2")
    namespace.send(pair, 5)
    process.eventually(function() return bpfd:counter(owner, "runs") >= 10 end, 2000)
    assert.are.equal(10, bpfd:counter(owner, "runs"))
    assert.is_nil(uv.fs_stat(directory(sharer)))
    assert.are.equal(owner, tostring(math.tointeger(bpfd:json("get", sharer).map_owner_id)))
    -- globals are never shared
    local shared = 0
    for _, id in ipairs(map_ids(sharer)) do
      if has(map_ids(owner), id) then shared = shared + 1 end
    end
    assert.are.equal(1, shared)
  end)

  it("outlive their owner, which can still be named while a sharer is loaded", function()
    local object = OBJECTS .. "verdict_xdp.o"
    local owner = load_xdp(object, "verdict", "xdp", "-i", "veth0", "-p", "1")
    local first = load_xdp(object, "verdict", "--map-owner-id", owner,
      "xdp", "-i", "veth0", "-p", "2")
    namespace.send(pair, 2)
    process.eventually(function() return bpfd:counter(owner, "runs") >= 4 end, 2000)
    bpfd:check("unload", owner)
    assert.are.equal(4, bpfd:counter(owner, "runs"))
    local second = load_xdp(object, "verdict", "--map-owner-id", owner,
      "xdp", "-i", "veth0", "-p", "3")
    bpfd:check("unload", first)
    namespace.send(pair, 3)
    process.eventually(function() return bpfd:counter(owner, "runs") >= 7 end, 2000)
    assert.are.equal(7, bpfd:counter(owner, "runs"))
    bpfd:check("unload", second)
    assert.is_nil(uv.fs_stat(directory(owner)))
  end)

  it("are refused with a different shape, none in common, or a sharer for an owner", function()
    local object = OBJECTS .. "verdict_xdp.o"
    local owner = load_xdp(object, "verdict", "xdp", "-i", "veth0", "-p", "1")
    local sharer = load_xdp(object, "verdict", "--map-owner-id", owner,
      "xdp", "-i", "veth0", "-p", "2")
    local before = residue.scan(bpfd)
    for _, case in ipairs {
      { OBJECTS .. "other_shape.o", "other_shape", owner, "runs" },
      { bpfctl.examples .. "go-xdp-counter/bpf_bpfel.o", "xdp_stats", owner, "map" },
      { object, "verdict", sharer, owner },
    } do
      local result = bpfd:bpfctl("load-from-file", "-p", case[1], "-n", case[2],
        "--map-owner-id", case[3], "xdp", "-i", "veth0", "-p", "3")
      assert.are.equal(1, result.exit, case[1])
      assert.is_truthy(result.stderr:find("^bpfctl: [^\n]*" .. case[4]), result.stderr)
      assert.are.equal(before, residue.settled(bpfd, before))
    end
  end)
end)
