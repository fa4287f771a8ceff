local bpf = require "bpf"
local core = require "bpf.core"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rounds = require "spec.support.rounds"
local rpc = require "spec.support.rpc"

local function programs_of(served)
  return assert(rpc.call(served, "program.list")).programs
end

local function json_of(served)
  return require("bpf.json").encode(programs_of(served), { sorted = true })
end

local function copy_of_object()
  local path = os.tmpname()
  local from <close>, to = assert(io.open(rpc.object, "rb")), assert(io.open(path, "wb"))
  to:write(from:read "a")
  to:close()
  return path
end

describe("a daemon that starts again", function()
  local served <const>, pair <const> = host.for_each()

  -- An interface that comes and goes, always with the same number.
  local function add_interface()
    pair.near:check { "ip", "link", "add", "late0", "index", "77", "type", "veth", "peer", "name",
      "late1", "index", "78" }
  end

  local function load_tcx_if_any()
    if not bpf.features.type "tcx" then return end
    assert(rpc.load(served, { name = "count_tc",
      attach = { type = "tcx", iface = "late0", direction = "ingress", priority = 1 } }))
  end

  for _, ending in ipairs { "stop", "kill" } do
    it("knows after a " .. ending .. " all that runs, and changes it without the object file",
      function()
        local path = copy_of_object()
        local attach = { type = "xdp", iface = "veth0", priority = 10 }
        local a = assert(rpc.load(served, { name = "count_xdp", attach = attach }, path))
        attach.priority = 20
        local b = assert(rpc.load(served, { name = "count_xdp", attach = attach,
          metadata = { owner = "acme" } }, path))
        local c = assert(rpc.load(served, { name = "count_call",
          attach = { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" } }, path))
        local told = json_of(served)
        os.remove(path)
        served[ending](served)
        namespace.send(pair, 30)
        assert.same({ 30, 30 }, { rpc.hits(a), rpc.hits(b) })
        served:restart()
        assert.equal(told, json_of(served))
        local d = assert(rpc.load_xdp(served, "veth0", 15))
        assert.same({ a.id, d.id, b.id }, rpc.chain(served, { type = "xdp" }))
        assert(rpc.call(served, "program.unload", { id = a.id }))
        namespace.send(pair, 10)
        assert.same({ 10, 40 }, { rpc.hits(d), rpc.hits(b) })
        assert(rpc.call(served, "program.unload", { id = c.id }))
        rpc.unload_all(served)
        assert.equal(0, #programs_of(served))
      end)
  end

  it("finds everything again when the database is lost or broken", function()
    assert(rpc.load_xdp(served, "veth0", 10, { metadata = { owner = "acme" } }))
    assert(rpc.load(served, { name = "count_tc", global = { VERDICT = "u32:0" },
      attach = { type = "tc", iface = "veth0", direction = "ingress", priority = 1 } }))
    local owner = assert(rpc.load_xdp(served, "veth0", 30))
    assert(rpc.load_xdp(served, "veth0", 20, { map_owner_id = owner.id }))
    local told = json_of(served)
    for _, broken in ipairs { false, true } do
      served:kill()
      for _, suffix in ipairs { "", "-wal", "-shm" } do
        os.remove(served.state_dir .. "/bpfd.db" .. suffix)
      end
      if broken then
        local file <close> = assert(io.open(served.state_dir .. "/bpfd.db", "w"))
        file:write(("nonsense "):rep(1000))
      end
      served:restart()
      assert.equal(told, json_of(served))
    end
    rpc.unload_all(served)
  end)

  it("leaves no part of a load or an unload, at whatever moment it was killed", function()
    assert(rpc.load_xdp(served, "veth0", 5))
    local empty = residue.scan(served)
    for moment = 1, rounds(25) do
      local client = rpc.connect(served)
      local object <close> = assert(core.system.open(rpc.object))
      assert(client.socket:send(('{"jsonrpc":"2.0","id":1,"method":"program.load","params":{\z
        "fd":0,"name":"count_xdp","attach":{"type":"xdp","iface":"veth0","priority":%d}}}\n')
        :format(100 + moment), { object }))
      require("luv").sleep(moment % 13) -- milliseconds: a load takes about ten
      served:kill()
      client:close()
      served:restart()
      local list = programs_of(served)
      assert.is_true(#list == 1 or #list == 2)
      assert.equal(#list, #rpc.chain(served, { type = "xdp" }))
      for _, program in ipairs(list) do
        if program.attach.priority ~= 5 then
          local other = rpc.connect(served)
          assert(other.socket:send(('{"jsonrpc":"2.0","id":1,"method":"program.unload",\z
            "params":{"id":%d}}\n'):format(program.id)))
          require("luv").sleep(moment % 7)
          served:kill()
          other:close()
          served:restart()
          rpc.call(served, "program.unload", { id = program.id, missing_ok = true })
        end
      end
      assert.equal(rpc.masked(empty), rpc.settled(served, empty))
    end
    rpc.unload_all(served)
  end)

  it("waits for no one, and refuses to run beside another", function()
    local second = process.run(pair.near:inside { (os.getenv "BUILD" or "build") .. "/bpfd",
      "--config", served.config, "--run-dir", served.run_dir, "--state-dir", served.state_dir })
    assert.equal(1, second.exit)
    assert.matches("another bpfd already runs", second.stderr)
    assert.truthy(rpc.call(served, "system.status"))
  end)

  it("ends its life without an answer missing or a job left", function()
    local client = rpc.connect(served)
    local object <close> = assert(core.system.open(rpc.object))
    assert(client.socket:send('{"jsonrpc":"2.0","id":1,"method":"program.load","params":{"fd":0,\z
      "name":"takes_long","attach":{"type":"xdp","iface":"veth0","priority":1}}}\n', { object }))
    process.eventually(function() return rpc.call(served, "system.status").jobs == 1 end)
    served.process:signal "sigterm"
    client.socket:wait("r", 20)
    assert.matches('"result"', (client.socket:receive()))
    assert.equal(0, served.process:wait()) -- a second SIGTERM might meet its very end
    client:close()
    served:restart()
    assert.equal(1, #programs_of(served))
    rpc.unload_all(served)
  end)

  it("cleans up what has gone with its interface or its namespace", function()
    local empty = residue.scan(served)
    local other <close> = namespace.new()
    local there <close> = namespace.new()
    namespace.join(other, there, "veth7", 7)
    add_interface()
    assert(rpc.load_xdp(served, "late0", 1))
    assert(rpc.load_xdp(served, "late0", 2))
    for _, kind in ipairs { "xdp", "tc" } do
      assert(rpc.load(served, { name = "count_" .. kind, attach = { type = kind, iface = "veth7",
        netns = other.name, priority = 1, direction = kind == "tc" and "ingress" or nil } }))
    end
    load_tcx_if_any()
    pair.near:check { "ip", "link", "del", "late0" }
    other:close()
    -- what was on its own interfaces goes at once; of other namespaces it hears at its start
    local function left() return #programs_of(served) end
    assert.is_true(process.eventually(function() return left() == 2 end))
    served:kill()
    served:restart()
    assert.equal(0, left())
    assert.equal(empty, residue.settled(served, empty))
  end)

  it("cleans up after an interface that has gone while it did not run", function()
    local empty = residue.scan(served)
    add_interface()
    assert(rpc.load_xdp(served, "late0", 1))
    load_tcx_if_any()
    served:kill()
    pair.near:check { "ip", "link", "del", "late0" }
    add_interface() -- with the same number: nothing of ours runs on this one
    served:restart()
    assert.is_true(process.eventually(function() return #programs_of(served) == 0 end))
    pair.near:check { "ip", "link", "del", "late0" }
    assert.equal(empty, residue.settled(served, empty))
  end)

  it("begins anew where an interface has come back as the same", function()
    add_interface()
    assert(rpc.load_xdp(served, "late0", 1))
    pair.near:check { "ip", "link", "del", "late0" }
    assert.is_true(process.eventually(function() return #programs_of(served) == 0 end))
    add_interface()
    local b = assert(rpc.load_xdp(served, "late0", 2))
    assert.same({ b.id }, rpc.chain(served, { type = "xdp" }))
    assert.matches("prog/xdp", pair.near:check { "ip", "link", "show", "late0" })
    rpc.unload_all(served)
  end)

  it("pins a record again that somebody has removed", function()
    local empty = residue.scan(served)
    local program = assert(rpc.load_xdp(served, "veth0", 1))
    local other = assert(rpc.load_xdp(served, "veth0", 2))
    os.remove(("%s/fs/programs/%d/record"):format(served.run_dir, program.id))
    served:kill()
    served:restart()
    assert.equal(2, #programs_of(served))
    local third = assert(rpc.load_xdp(served, "veth0", 3))
    assert.same({ program.id, other.id, third.id }, rpc.chain(served, { type = "xdp" }))
    namespace.send(pair, 5)
    assert.same({ 5, 5 }, { rpc.hits(program), rpc.hits(third) })
    rpc.unload_all(served)
    assert.equal(empty, residue.settled(served, empty))
  end)

  it("keeps what runs although its record says nothing that makes sense", function()
    local program = assert(rpc.load_xdp(served, "veth0", 5))
    local record = ("%s/fs/programs/%d/record"):format(served.run_dir, program.id)
    for _, text in ipairs { "{}", '{"name":"x","type":"xdp","attach":[],"loaded_at":0}' } do
      served:kill()
      os.remove(record)
      local map <close> = assert(bpf.map.blob(text, "bpfd_record"))
      assert(map:pin(record))
      os.remove(served.state_dir .. "/bpfd.db")
      served:restart()
      assert.matches(("reading the record of program %d: a damaged record"):format(program.id),
        served:log_text())
      assert.equal(program.id, bpf.program.open_id(program.id):info().id)
    end
  end)

  it("takes a load back that cannot be written down", function()
    local kept = assert(rpc.load_xdp(served, "veth0", 1))
    local before = residue.scan(served)
    local database <close> = assert(require("bpfd_database").open(served.state_dir .. "/bpfd.db"))
    assert(database:execute "BEGIN IMMEDIATE")
    local program, err = rpc.load_xdp(served, "veth0", 2)
    assert.is_nil(program)
    assert.equal("EBUSY", err.code)
    assert(database:execute "ROLLBACK")
    database:close()
    assert.same({ kept.id }, rpc.chain(served, { type = "xdp" }))
    assert.equal(rpc.masked(before), rpc.settled(served, before))
    rpc.unload_all(served)
  end)

  it("does not start where its bpffs would end with it", function()
    local run_dir = served.run_dir .. "-private"
    local private = process.run { "unshare", "--mount", "--propagation", "private",
      (os.getenv "BUILD" or "build") .. "/bpfd", "--config", served.config, "--run-dir", run_dir,
      "--state-dir", served.state_dir .. "-private" }
    assert.equal(1, private.exit)
    assert.matches("mount namespace", private.stderr)
  end)

  it("puts back what somebody removes: a link's pin, or the whole mount", function()
    local program = assert(rpc.load_xdp(served, "veth0", 1))
    local _, cookie = next(assert(core.system.list(served.run_dir .. "/fs/chains")))
    local pin = ("%s/fs/chains/%s/link"):format(served.run_dir, cookie)
    os.remove(pin)
    assert.is_true(process.eventually(function() return core.system.facts(pin) ~= nil end))
    process.check { "umount", served.run_dir .. "/fs" }
    assert.is_true(process.eventually(function() return core.system.facts(pin) ~= nil end))
    namespace.send(pair, 10)
    assert.equal(10, rpc.hits(program))
    local link <close> = assert(bpf.link.open_pin(pin))
    assert.is_false(link:info().severed == true)
    rpc.unload_all(served)
  end)
end)
