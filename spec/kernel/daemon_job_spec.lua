local uv = require "luv"
local core = require "bpf.core"
local json = require "bpf.json"
local host = require "spec.support.host"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"
local rpc = require "spec.support.rpc"

describe("work that takes long", function()
  local served <const> = host.for_all()
  setup(function() assert(rpc.load_xdp(served, "veth0", 5)) end)

  local assert_unchanged <const> = host.changes_nothing(served)

  local function ask(client, id, method, params, descriptors)
    assert(client.socket:send(json.encode { jsonrpc = "2.0", id = id, method = method,
      params = json.object(params) } .. "\n", descriptors))
  end

  local function begin_load(client, more)
    local object <close> = assert(core.system.open(rpc.object))
    local params = { fd = 0, name = "takes_long",
      attach = { type = "xdp", iface = "veth0", priority = 1 } }
    for key, value in pairs(more or {}) do params[key] = value end
    ask(client, 1, "program.load", params, { object })
  end

  local function jobs() return rpc.call(served, "system.status").jobs end

  local function wait_for_job()
    assert.is_true(process.eventually(function()
      for _, name in pairs(process.children(served.pid)) do
        if name == "bpfd-job" then return true end
      end
      return false
    end, 2000))
  end

  local function answers(client, count)
    local lines, text = {}, ""
    while #lines < count do
      assert(client.socket:wait("r", 30))
      local bytes = assert(client.socket:receive())
      if bytes == "" then break end
      text = text .. bytes
      lines = {}
      for line in text:gmatch "([^\n]*)\n" do lines[#lines + 1] = json.decode(line) end
    end
    return lines
  end

  it("is not waited for by list, get and status", function()
    local client = rpc.connect(served)
    begin_load(client)
    wait_for_job()
    for _ = 1, 20 do assert(rpc.call(served, "program.list")) end
    assert.equal(1, jobs()) -- it still verifies
    local loaded = answers(client, 1)[1].result
    assert.truthy(loaded)
    client:close()
    assert(rpc.call(served, "program.unload", { id = loaded.id }))
  end)

  it("tells its steps to who asks for them", function()
    local client = rpc.connect(served)
    local steps = {}
    local object <close> = assert(core.system.open(rpc.object))
    local loaded = assert(client:call("program.load", { fd = 0, name = "count_xdp",
      attach = { type = "xdp", iface = "veth0", priority = 1 } }, { descriptors = { object },
      progress = function(params) steps[#steps + 1] = params.step .. " " .. params.done end }))
    client:close()
    assert.same({ "copy 0", "open 1", "verify 2", "pin 3", "attach 4" }, steps)
    assert(rpc.call(served, "program.unload", { id = loaded.id }))
  end)

  it("is done by processes: the daemon has one thread before, meanwhile and after", function()
    local function threads()
      local file <close> = assert(io.open(("/proc/%d/status"):format(served.pid)))
      return file:read("a"):match "Threads:%s*(%d+)"
    end
    local client = rpc.connect(served)
    assert.equal("1", threads())
    begin_load(client)
    wait_for_job()
    assert.equal("1", threads())
    assert.is_true(served:kill_jobs())
    answers(client, 1)
    assert.equal("1", threads())
    client:close()
  end)

  it("goes behind the loop, which goes before others", function()
    local client = rpc.connect(served)
    begin_load(client)
    wait_for_job()
    assert.equal(-10, uv.os_getpriority(served.pid))
    for _, pid in ipairs(served:working()) do assert.equal(5, uv.os_getpriority(pid)) end
    local loaded = answers(client, 1)[1].result
    client:close()
    assert(rpc.call(served, "program.unload", { id = loaded.id }))
  end)

  it("ends without a trace when the request is cancelled", function()
    local client = rpc.connect(served)
    begin_load(client)
    wait_for_job()
    ask(client, 2, "request.cancel", { request = 1 })
    local by_id = {}
    for _, answer in ipairs(answers(client, 2)) do by_id[answer.id] = answer end
    assert.is_true(by_id[2].result.cancelled)
    assert.equal("ECANCELED", by_id[1].error.data.code)
    ask(client, 3, "request.cancel", { request = 1 })
    assert.equal("ENOENT", answers(client, 1)[1].error.data.code)
    client:close()
    assert.equal(1, #rpc.chain(served, { type = "xdp" }))
  end)

  it("ends without a trace when its client goes", function()
    local client = rpc.connect(served)
    begin_load(client)
    wait_for_job()
    client:close()
    assert.is_true(process.eventually(function() return jobs() == 0 end, 2000))
  end)

  it("ends without a trace while it waits for another change of the same hook", function()
    local first, second = rpc.connect(served), rpc.connect(served)
    begin_load(first)
    wait_for_job()
    begin_load(second)
    assert.equal(1, jobs())
    ask(second, 2, "request.cancel", { request = 1 })
    assert.truthy(answers(second, 1)[1])
    second:close()
    local loaded = answers(first, 1)[1].result
    first:close()
    assert(rpc.call(served, "program.unload", { id = loaded.id }))
  end)

  -- as by whoever is short of memory, and as by an object that libbpf cannot bear
  for signal, number in pairs { sigkill = 9, sigsegv = 11, sigabrt = 6 } do
    it("costs one request and no more when its process dies of " .. signal, function()
      local client = rpc.connect(served)
      begin_load(client)
      wait_for_job()
      assert.is_true(served:kill_jobs(signal))
      local answer = answers(client, 1)[1]
      assert.equal("EFAULT", answer.error.data.code)
      assert.matches("signal " .. number .. "%f[%D]", answer.error.message)
      assert.is_nil(answer.error.message:find "\n")
      client:close()
    end)
  end

  it("is either done or has never been, at whatever moment its process dies", function()
    local kinds <const> = {
      { name = "count_xdp", attach = { type = "xdp", iface = "veth0", priority = 9 } },
      { name = "count_tc",
        attach = { type = "tc", iface = "veth0", direction = "ingress", priority = 9 } },
      { name = "count_call",
        attach = { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" } },
    }
    for moment = 0, rounds(45) - 1 do -- milliseconds, modulo what a load or an unload takes
      local client = rpc.connect(served)
      begin_load(client, kinds[moment % 3 + 1])
      uv.sleep(moment % 17)
      served:kill_jobs()
      local loaded = answers(client, 1)[1].result
      if loaded then
        ask(client, 2, "program.unload", { id = loaded.id })
        uv.sleep(moment % 11)
        served:kill_jobs()
        assert.truthy(answers(client, 1)[1])
      end
      client:close()
      local list = assert(rpc.call(served, "program.list")).programs
      for _, program in ipairs(list) do
        if loaded and program.id == loaded.id then
          assert(rpc.call(served, "program.unload", { id = program.id }))
        end
      end
      assert_unchanged()
    end
  end)

  it("holds up neither the changes of other hooks nor each other's answers", function()
    local client = rpc.connect(served)
    begin_load(client)
    wait_for_job()
    local other = assert(rpc.load(served, { name = "count_tc", attach = { type = "tc",
      iface = "veth0", direction = "ingress", priority = 1 } }))
    assert.equal(1, jobs())
    assert(rpc.call(served, "program.unload", { id = other.id }))
    local loaded = answers(client, 1)[1].result
    client:close()
    assert(rpc.call(served, "program.unload", { id = loaded.id }))
  end)

  it("takes its turn when there is more than is done at once", function()
    local clients = {}
    for i = 1, rounds(24, 6) do
      clients[i] = rpc.connect(served)
      begin_load(clients[i], { name = "count_call",
        attach = { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" } })
    end
    for _, client in ipairs(clients) do
      local loaded = assert(answers(client, 1)[1].result)
      client:close()
      assert(rpc.call(served, "program.unload", { id = loaded.id }))
    end
    assert.is_nil(served:log_text():find("fault", 1, true))
  end)

  it("is done one by one on one hook, and nothing is lost", function()
    local clients = {}
    for i = 1, 12 do
      clients[i] = rpc.connect(served)
      begin_load(clients[i], { name = "count_xdp",
        attach = { type = "xdp", iface = "veth0", priority = i } })
    end
    local ids = {}
    for i, client in ipairs(clients) do
      local answer = answers(client, 1)[1]
      ids[i] = assert(answer.result, answer.error and answer.error.message).id
      client:close()
    end
    assert.equal(13, #rpc.chain(served, { type = "xdp" }))
    for _, id in ipairs(ids) do assert(rpc.call(served, "program.unload", { id = id })) end
  end)
end)
