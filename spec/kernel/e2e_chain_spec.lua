-- Chains as a user sees them: real packets through a real bpfd, counted by the members' own maps.
local uv = require "luv"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"
local rpc = require "spec.support.rpc"

local OBJECTS <const> = os.getenv "BUILD" .. "/objects/"

local XDP <const> = { aborted = 0, drop = 1, pass = 2, tx = 3, redirect = 4,
  dispatcher_return = 31 }
local TC <const> = { unspec = -1, ok = 0, reclassify = 1, shot = 2, pipe = 3, stolen = 4,
  queued = 5, ["repeat"] = 6, redirect = 7, trap = 8, dispatcher_return = 30 }

local MANY <const> = rounds(64)

describe("a chain", function()
  local bpfd <const>, pair <const> = host.for_all()
  local outward

  setup(function()
    outward = { near = pair.far, far = pair.near, near_address = pair.far_address }
  end)

  after_each(function() rpc.unload_all(bpfd) end)

  ---@param hook string  "xdp", "ingress" or "egress"
  local function load(hook, verdict, priority, ...)
    local arguments = { "-p", OBJECTS .. (hook == "xdp" and "verdict_xdp.o" or "verdict_tc.o"),
      "-n", "verdict", "-g", ("VERDICT=i32:%d"):format(verdict), hook == "xdp" and "xdp" or "tc",
      "-i", "veth0", "-p", tostring(priority) }
    local function add(...)
      table.move({ ... }, 1, select("#", ...), #arguments + 1, arguments)
    end
    if hook ~= "xdp" then add("-d", hook) end
    if ... then add("--proceed-on", ...) end
    return (assert(bpfd:load(table.unpack(arguments)), "no id"))
  end

  local function runs(id)
    return bpfd:counter(id, "runs")
  end

  local function assert_runs(expected, id)
    process.eventually(function() return runs(id) >= expected end, 2000)
    assert.are.equal(expected, runs(id))
  end

  for _, hook in ipairs { "xdp", "ingress", "egress" } do
    local verdicts = hook == "xdp" and XDP or TC
    local go_on = hook == "xdp" and XDP.pass or TC.ok
    local function send(count)
      namespace.send(hook == "egress" and outward or pair, count)
    end

    describe("on " .. hook, function()
      it("runs by priority, the newer first among equals", function()
        local a = load(hook, go_on, 50)
        local b = load(hook, go_on, 10)
        local c = load(hook, go_on, 50)
        local d = load(hook, go_on, 30)
        for position, id in ipairs { b, d, c, a } do
          local attach = bpfd:json("get", id).attach
          assert.are.equal(position - 1, math.tointeger(attach.position))
        end
        send(7)
        for _, id in ipairs { a, b, c, d } do assert_runs(7, id) end
        bpfd:check("unload", d)
        assert.are.equal(1, math.tointeger(bpfd:json("get", c).attach.position))
        assert.are.equal(2, math.tointeger(bpfd:json("get", a).attach.position))
      end)

      for name, code in pairs(verdicts) do
        local other = name == "dispatcher_return" and "redirect" or "dispatcher_return"
        it(("goes on after %s only where it is in proceed-on"):format(name), function()
          local last = load(hook, go_on, 20)
          local first = load(hook, code, 10, name)
          send(3)
          assert_runs(3, first)
          assert_runs(3, last)
          bpfd:check("unload", first)
          local stopping = load(hook, code, 10, other)
          send(5)
          assert_runs(5, stopping)
          assert.are.equal(3, runs(last))
        end)
      end

      it("is what a model of a few lines says", function()
        math.randomseed(4711)
        local names = hook == "xdp" and { "aborted", "drop", "pass" }
          or { "unspec", "ok", "reclassify", "shot", "pipe" }
        local lost = { aborted = true, drop = true, shot = true }
        local receiver = hook == "egress" and pair.far or pair.near
        for _ = 1, rounds(4) do
          local members = {}
          for order = 1, math.random(2, 9) do
            local member = { order = order, priority = math.random(1, 5), proceed = {}, runs = 0,
              verdict = names[math.random(#names)] }
            for _, name in ipairs(names) do
              if math.random() < 0.6 then member.proceed[#member.proceed + 1] = name end
            end
            if #member.proceed == 0 or math.random() < 0.5 then
              table.insert(member.proceed, member.verdict)
            end
            member.id = load(hook, verdicts[member.verdict], member.priority,
              table.unpack(member.proceed))
            members[order] = member
          end
          table.sort(members, function(a, b)
            if a.priority ~= b.priority then return a.priority < b.priority end
            return a.order > b.order
          end)
          local final = "end"
          for _, member in ipairs(members) do
            member.runs = 4
            local set = {}
            for _, name in ipairs(member.proceed) do set[name] = true end
            if not set[member.verdict] then
              final = member.verdict
              break
            end
          end
          local before = receiver:received()
          send(4)
          for _, member in ipairs(members) do assert_runs(member.runs, member.id) end
          local expected = before + (lost[final] and 0 or 4)
          process.eventually(function() return receiver:received() >= expected end, 2000)
          assert.are.equal(expected, receiver:received())
          for _, member in ipairs(members) do bpfd:check("unload", member.id) end
        end
      end)

      it("loses no packet and runs no half chain while members come and go", function()
        local first, last = load(hook, go_on, 1), load(hook, go_on, 100)
        local stop = namespace.traffic(hook == "egress" and outward or pair)
        for round = 1, rounds(5, 2) do
          local ids = {}
          for i = 1, 3 do ids[i] = load(hook, go_on, 10 * i + round) end
          for i = 1, 3 do bpfd:check("unload", ids[i]) end
        end
        local sent = stop()
        assert.is_true(sent > 500, "hardly any traffic: " .. sent)
        assert_runs(sent, first)
        assert_runs(sent, last)
      end)
    end)
  end

  it(("holds %d members, each with a counter and globals of its own"):format(MANY), function()
    local ids = {}
    for i = 1, MANY do ids[i] = load("xdp", XDP.pass, i) end
    namespace.send(pair, 10)
    for _, id in ipairs(ids) do assert_runs(10, id) end
    assert.are.equal(MANY - 1, math.tointeger(bpfd:json("get", ids[MANY]).attach.position))
  end)

  it("serves XDP and both directions of TC on one interface", function()
    local xdp, ingress = load("xdp", XDP.pass, 1), load("ingress", TC.ok, 1)
    local egress = load("egress", TC.ok, 1)
    namespace.send(pair, 6)
    namespace.send(outward, 9)
    assert_runs(6, xdp)
    assert_runs(6, ingress)
    assert_runs(9, egress)
  end)

  it("goes with its interface, and an unload that comes too late is no error", function()
    namespace.join(pair.near, pair.far, "brief", 9)
    local ids = {}
    for i, hook in ipairs { "xdp", "ingress" } do
      ids[i] = bpfd:load("-p", OBJECTS .. (hook == "xdp" and "verdict_xdp.o" or "verdict_tc.o"),
        "-n", "verdict", table.unpack(hook == "xdp" and { "xdp", "-i", "brief", "-p", "1" }
          or { "tc", "-d", "ingress", "-i", "brief", "-p", "1" }))
    end
    pair.near:check { "ip", "link", "delete", "brief" }
    process.eventually(function() return bpfd:check("list", "-q") == "" end, 2000)
    for _, id in ipairs(ids) do
      assert.is_nil(uv.fs_stat(("%s/fs/maps/%s"):format(bpfd.run_dir, id)))
      assert.are_not.equal(0, bpfd:bpfctl("get", id).exit)
      assert.are.equal("", bpfd:check("unload", id))
    end
    assert.are_not.equal(0, bpfd:bpfctl("unload", "4294967295").exit)
  end)
end)
