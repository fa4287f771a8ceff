-- bpfd and xdp-loader at one interface at the same time, and bpfd's jobs that die in its midst.
local support = require "spec.support.chain"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"
local uv = require "luv"
local xdp_loader = require "spec.support.xdp_loader"

local refusal = support.refusal("freplace", "xdp") or xdp_loader.refusal()
local ROUNDS <const> = tonumber(os.getenv "BPFD_RACES") or 6

describe("an interface that bpfd and xdp-loader change at the same time", function()
  if refusal then
    it("ends with both", function() pending(refusal) end)
    return
  end

  local served, pair
  served, pair = host.for_all { config = function()
    return ('return { interfaces = { ["*"] = { libxdp = "share", dispatcher_version = %d } } }')
      :format(xdp_loader.own_version(pair.near, "veth0"))
  end }
  local fusing <const> = host.daemon_for_all({}, pair)

  teardown(xdp_loader.clean_up)

  local function clear_all()
    for _, one in ipairs { served, fusing } do rpc.unload_all(one) end
    xdp_loader.clear(pair.near, "veth0")
    assert.equal("", xdp_loader.left(served, fusing))
  end

  after_each(clear_all)

  local function bpfctl(one, ...)
    local output = os.tmpname()
    local running = process.start({ (os.getenv "BUILD" or "build") .. "/bpfctl", "--socket",
      one.socket, ... }, { output = output })
    return function()
      local status = running:wait(30000)
      local file <close> = assert(io.open(output))
      os.remove(output)
      return status, file:read "a"
    end
  end

  local function begin_load(one, priority)
    return bpfctl(one, "-q", "load-from-file", "-p", rpc.object, "-n", "count_xdp", "xdp", "-i",
      "veth0", "-p", tostring(priority))
  end

  -- xdp-loader's own words for a place that is taken.
  local function is_clean(result)
    return result.exit == 0 or result.stderr:find("Couldn't attach XDP program", 1, true) ~= nil
  end

  -- What ran is what each side says runs, and packets meet it.
  local function expect_consistent(one, ours, pins)
    local ids <const> = xdp_loader.ids(pair.near, "veth0")
    assert.same(ids, rpc.chain(one, { iface = "veth0" }))
    assert.equal((ours and 1 or 0) + (pins and 1 or 0), #ids)
    namespace.send(pair, 3)
    if ours then assert.equal(3, one:counter(ours, "hits")) end
    if pins then assert.equal(3, xdp_loader.hits(pins)) end
  end

  it("has both, or one and a clean error, after two first loads", function()
    for round = 1, ROUNDS do
      local finish = begin_load(served, 20)
      uv.sleep(round * 7 % 40)
      local result, pins = xdp_loader.try_load(pair.near, "veth0", { priority = 30 })
      local status, text = finish()
      local ours <const> = status == 0 and text:match "^(%d+)\n$" or nil
      assert.is_true(is_clean(result), result.stderr)
      assert.is_true(ours ~= nil or text:find("^bpfctl: ") ~= nil, text)
      assert.is_true(ours ~= nil or result.exit == 0, "neither is loaded: " .. text)
      expect_consistent(served, ours, result.exit == 0 and pins)
      clear_all()
    end
  end)

  it("has both, or one and a clean error, where bpfd would have fused", function()
    for round = 1, ROUNDS do
      local finish = begin_load(fusing, 20)
      uv.sleep(round * 11 % 40)
      local result = xdp_loader.try_load(pair.near, "veth0", { priority = 30 })
      local status, text = finish()
      assert.is_true(is_clean(result), result.stderr)
      assert.is_true(status == 0 or text:find("^bpfctl: ") ~= nil, text)
      assert.is_true(status == 0 or result.exit == 0, "neither is loaded: " .. text)
      clear_all()
    end
  end)

  it("keeps both while each loads and unloads", function()
    local stay = assert(rpc.load_xdp(served, "veth0", 1))
    local theirs = xdp_loader.load(pair.near, "veth0", { priority = 99 })
    for round = 1, ROUNDS do
      local finish = begin_load(served, 20)
      uv.sleep(round * 5 % 30)
      local result, pins = xdp_loader.try_load(pair.near, "veth0", { priority = 30 })
      local status, text = finish()
      assert.equal(0, status, text)
      assert.equal(0, result.exit, result.stderr)
      local ids <const> = xdp_loader.ids(pair.near, "veth0")
      assert.equal(4, #ids)
      assert.same(ids, rpc.chain(served, { iface = "veth0" }))
      local ours <const> = text:match "^(%d+)\n$"
      local peer = ids[3]
      local unloaded = bpfctl(served, "unload", ours)
      xdp_loader.unload(pair.near, "veth0", peer)
      status, text = unloaded()
      assert.equal(0, status, text)
      assert.same({ stay.id, theirs.id }, xdp_loader.ids(pair.near, "veth0"))
      process.check { "rm", "-r", pins }
    end
    namespace.send(pair, 10)
    assert.same({ 10, 10 }, { rpc.hits(stay), theirs:hits() })
  end)

  local function expect_one_dispatcher()
    local pins <const> = xdp_loader.pins()
    local _, count = pins:gsub("dispatch%-%d+%-%d+\n", "")
    assert.equal(1, count, pins .. process.run({ "sh", "-c", -- whether they are anywhere
      "ls -laR /sys/fs/bpf 2>&1; grep bpf /proc/self/mountinfo" }).stdout)
  end

  it("is as it was, or as it was to be, at whatever moment a job of bpfd's dies", function()
    local theirs = xdp_loader.load(pair.near, "veth0", { priority = 50 })
    local stay = assert(rpc.load_xdp(served, "veth0", 1))
    for moment = 0, 4 * ROUNDS do
      local finish = begin_load(served, 20)
      uv.sleep(10 + moment * 7 % 90)
      served:kill_jobs()
      local status, text = finish()
      local chain <const> = xdp_loader.ids(pair.near, "veth0")
      assert.same(chain, rpc.chain(served, { iface = "veth0" }))
      if status == 0 then
        assert.equal(text:match "%d+", tostring(chain[2]))
        local unloaded = bpfctl(served, "unload", tostring(chain[2]))
        uv.sleep(moment * 5 % 60)
        served:kill_jobs()
        if unloaded() ~= 0 then rpc.call(served, "program.unload", { id = chain[2] }) end
      end
      assert.same({ stay.id, theirs.id }, xdp_loader.ids(pair.near, "veth0"))
      expect_one_dispatcher()
    end
    namespace.send(pair, 10)
    assert.same({ 10, 10 }, { rpc.hits(stay), theirs:hits() })
  end)

  it("is adopted whole after SIGKILLs of the daemon in its midst", function()
    local theirs = xdp_loader.load(pair.near, "veth0", { priority = 50 })
    local stay = assert(rpc.load_xdp(served, "veth0", 1))
    for round = 1, ROUNDS do
      local finish = begin_load(served, 20)
      uv.sleep(10 + round * 13 % 90)
      served:kill()
      finish()
      served:restart()
      local chain <const> = xdp_loader.ids(pair.near, "veth0")
      assert.same(chain, rpc.chain(served, { iface = "veth0" }))
      assert.same({ stay.id, theirs.id }, { chain[1], chain[#chain] })
      if #chain == 3 then assert(rpc.call(served, "program.unload", { id = chain[2] })) end
      expect_one_dispatcher()
    end
    namespace.send(pair, 10)
    assert.same({ 10, 10 }, { rpc.hits(stay), theirs:hits() })
  end)
end)
