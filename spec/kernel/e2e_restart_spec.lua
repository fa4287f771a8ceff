-- A daemon that dies, and one that stops: the chain runs on and the next daemon takes it over.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

local OBJECTS <const> = os.getenv "BUILD" .. "/objects/"

describe("a daemon's end", function()
  local bpfd <const>, pair <const> = host.for_each()
  local object

  before_each(function()
    object = bpfd.directory .. "/users.o"
    process.check { "cp", OBJECTS .. "verdict_xdp.o", object }
  end)

  local function load(path, priority)
    return bpfd:load("-p", path, "-n", "verdict", "-m", "owner=acme",
      "xdp", "-i", "veth0", "-p", tostring(priority))
  end

  local function assert_runs(expected, id)
    process.eventually(function() return bpfd:counter(id, "runs") >= expected end, 2000)
    assert.are.equal(expected, bpfd:counter(id, "runs"))
  end

  local function everything()
    local text = { bpfd:check("list"), bpfd:check("list", "-o", "json") }
    for id in bpfd:check("list", "-q"):gmatch "%d+" do
      text[#text + 1] = bpfd:check("get", id)
      text[#text + 1] = bpfd:check("get", id, "-o", "json")
    end
    return table.concat(text, "\n")
  end

  local function load_some()
    local tc = OBJECTS .. "verdict_tc.o"
    local ids = { load(object, 10), load(object, 20), load(object, 10) }
    ids.tc = bpfd:load("-p", tc, "-n", "verdict", "tc", "-d", "ingress", "-i", "veth0", "-p", "5")
    ids.tracepoint = bpfd:load("-p", bpfctl.examples .. "sys_enter_openat.o",
      "-n", "sys_enter_openat", "-g", "ONLY_PID=u32:1",
      "tracepoint", "-t", "syscalls/sys_enter_openat")
    return ids
  end

  for _, how in ipairs { "kill", "stop" } do
    describe(how == "kill" and "by SIGKILL" or "by SIGTERM", function()
      it("leaves the chain running, and the next one lists the same", function()
        local ids = load_some()
        local before = everything()
        namespace.send(pair, 4)
        local status = bpfd[how](bpfd)
        assert.are.equal(how == "kill" and 137 or 0, status)
        namespace.send(pair, 4)
        for i = 1, 3 do assert_runs(8, ids[i]) end
        bpfd:restart()
        local after = everything()
        for line in before:gmatch "[^\n]+" do
          assert.is_truthy(after:find(line, 1, true), "no longer told: " .. line)
        end
        assert.are.equal(#before, #after)
        namespace.send(pair, 2)
        for i = 1, 3 do assert_runs(10, ids[i]) end
        assert_runs(10, ids.tc)
      end)

      it("lets members come and go afterwards, though the object file is gone", function()
        local ids = load_some()
        assert(os.remove(object))
        bpfd[how](bpfd)
        bpfd:restart()
        local added = load(OBJECTS .. "verdict_xdp.o", 15)
        namespace.send(pair, 3)
        for i = 1, 3 do assert_runs(3, ids[i]) end
        assert_runs(3, added)
        bpfd:check("unload", ids[1])
        namespace.send(pair, 3)
        assert_runs(6, ids[2])
        assert_runs(6, ids[3])
        assert_runs(6, added)
        rpc.unload_all(bpfd)
        assert.is_nil(pair.near:check({ "ip", "link", "show", "veth0" }):find "xdp")
        assert.are.equal("", process.check { "ls", bpfd.run_dir .. "/fs/maps" })
      end)
    end)
  end

  it("in the middle of loads leaves nothing half done", function()
    local kept = load(object, 1)
    for _ = 1, 6 do
      local client = process.start(pair.near:inside { bpfctl.path, "--socket", bpfd.socket,
        "load-from-file", "-p", object, "-n", "verdict", "xdp", "-i", "veth0", "-p", "7" })
      uv.sleep(math.random(0, 25)) -- anywhere in a load, which takes about that long
      bpfd:kill()
      client:wait()
      bpfd:restart()
      local ids = {}
      for id in bpfd:check("list", "-q"):gmatch "%d+" do ids[#ids + 1] = id end
      assert.are.equal(kept, ids[1])
      assert.is_true(#ids <= 2, "too many")
      local before = bpfd:counter(kept, "runs")
      namespace.send(pair, 2)
      assert_runs(before + 2, kept)
      if ids[2] then
        assert_runs(2, ids[2])
        bpfd:check("unload", ids[2])
      end
      assert.are.equal(kept .. "\n", process.check { "ls", bpfd.run_dir .. "/fs/programs" })
      assert.are.equal(kept .. "\n", process.check { "ls", bpfd.run_dir .. "/fs/maps" })
    end
  end)

  it("is noticed by its successor's lock: two at once are refused", function()
    local second = process.run(pair.near:inside { os.getenv "BUILD" .. "/bpfd", "--config",
      bpfd.config, "--run-dir", bpfd.run_dir, "--state-dir", bpfd.state_dir })
    assert.are.equal(1, second.exit)
    assert.is_truthy(second.stderr:find "%S")
    assert.are.equal(0, bpfd:bpfctl("list").exit)
  end)
end)
