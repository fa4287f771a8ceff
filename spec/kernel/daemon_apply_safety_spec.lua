-- What a declaration may not do to packets, to others and to itself: under traffic, beside other
-- changes, killed in its midst, and written back.
local uv = require "luv"
local bpf = require "bpf"
local core = require "bpf.core"
local json = require "bpf.json"
local bpfctl = require "spec.support.bpfctl"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rounds = require "spec.support.rounds"
local rpc = require "spec.support.rpc"

local BUILD <const> = os.getenv "BUILD" or "build"
local SECONDS <const> = tonumber(os.getenv "BPFD_APPLY_SECONDS") or 3
local ZERO <const> = string.pack("=I4", 0)

describe("a declaration", function()
  local served <const>, pair <const> = host.for_all()

  local function applied(...) return (bpfctl.applied(served, "web.lua", ...)) end
  host.leaves_nothing(served, function() applied("", "--prune") end)

  local function entry(label, attach, more)
    return ('program "%s" { path = "%s", name = "count_%s", %s \z
      attach = { iface = "veth0", %s } }\n'):format(label, rpc.object,
      attach:match 'type = "(%w+)"', more or "", attach)
  end

  local function xdp(label, priority, more)
    return entry(label, ('type = "xdp", priority = %d'):format(priority), more)
  end

  local function tc(label, priority, more)
    local attach <const> = 'type = "tc", direction = "ingress", priority = %d'
    return entry(label, attach:format(priority), more)
  end

  local function labels(kind)
    local words = {}
    for i, id in ipairs(rpc.chain(served, { type = kind, iface = "veth0" })) do
      words[i] = (rpc.call(served, "program.get", { id = id }) or {}).label or "-"
    end
    return table.concat(words, " ")
  end

  -- The map of a program that no user sees: where numbered packets are counted.
  local function bss_of(id)
    local program <close> = assert(bpf.program.open_id(id))
    for _, map_id in ipairs(program:info().map_ids) do
      local map = assert(bpf.map.open_id(map_id))
      if map:info().name:find "%.bss$" then return map end
      map:close()
    end
    error "it has no .bss"
  end

  local function miscounted(id, sent)
    local map <close> = bss_of(id)
    local seen, missed, doubled = assert(map:lookup(ZERO)), 0, 0
    for number = 1, sent do
      local times = seen:byte(number)
      if times == 0 then missed = missed + 1 elseif times > 1 then doubled = doubled + 1 end
    end
    return missed, doubled
  end

  it("loses and doubles no packet while it is applied over and over", function()
    local function account(label, priority)
      return ('program "%s" { path = "%s/objects/chain_traffic_xdp.o", name = "account", \z
        attach = { type = "xdp", iface = "veth0", priority = %d } }\n'):format(label, BUILD,
        priority)
    end
    local ends <const> = account("first", 1) .. account("last", 100)
    local versions <const> = {
      ends, ends .. xdp("a", 10) .. xdp("b", 20), ends .. xdp("b", 10) .. xdp("a", 20),
      ends .. xdp("a", 20, 'metadata = { v = "2" },') .. xdp("c", 5) .. xdp("d", 50),
    }
    local ids = applied(ends)
    local stop = namespace.traffic(pair)
    local deadline, applies = uv.hrtime() + SECONDS * 1000000000, 0
    repeat
      applies = applies + 1
      local now = applied(versions[applies % #versions + 1], "--prune")
      assert.equal(ids.first.id, now.first.id)
    until uv.hrtime() > deadline and applies >= 2 * #versions
    local sent = stop()
    local last = rpc.call(served, "program.get", { id = ids.last.id })
    local function total()
      local map <close> = assert(bpf.map.open_pin(last.map_pin_path .. "/total"))
      return (string.unpack("=I8", assert(map:lookup(ZERO))))
    end
    process.eventually(function() return total() >= sent end, 3000)
    assert.is_true(sent > 100)
    for _, label in ipairs { "first", "last" } do
      assert.same({ 0, 0 }, { miscounted(ids[label].id, sent) })
    end
  end)

  it("waits for loads and unloads of others on its hooks, and they for it", function()
    local function begin(...)
      return process.start(pair.near:inside { bpfctl.path, "--socket", served.socket, ... })
    end
    local files = {}
    for i = 1, 4 do
      files[i] = ("%s/%d.lua"):format(served.directory, i)
      local file <close> = assert(io.open(files[i], "w"))
      file:write(xdp("x" .. i, 20 + i), tc("t" .. i, 20 + i), xdp("y" .. i, 60 - i))
    end
    local running = {}
    for round = 1, 3 do
      for i, file in ipairs(files) do
        table.insert(running, begin("apply", file))
        table.insert(running, begin("load-from-file", "-p", rpc.object, "-n", "count_xdp", "xdp",
          "-i", "veth0", "-p", tostring(round * 10 + i)))
      end
    end
    for _, one in ipairs(running) do assert.equal(0, one:wait(60000)) end
    assert.equal(4 * 2 + 12, #rpc.chain(served, { type = "xdp", iface = "veth0" }))
    assert.equal("t1 t2 t3 t4", labels "tc")
    local last = -1
    for _, member in ipairs(rpc.call(served, "chain.get", { type = "xdp" }).members) do
      assert.is_true(member.priority >= last)
      last = member.priority
    end
    for _, file in ipairs(files) do
      local empty <close> = assert(io.open(file, "w"))
      empty:close()
      assert.equal(0, bpfctl.run(served, { "apply", "--prune", file }).exit)
      os.remove(file)
    end
  end)

  -- Each hook has its old or its new chain, and what is told of it is what there is.
  local function check_whole(old, new)
    for kind, chain in pairs { xdp = labels "xdp", tc = labels "tc" } do
      assert.is_true(chain == old[kind] or chain == new[kind], chain)
    end
    local members = {}
    for _, kind in ipairs { "xdp", "tc" } do
      for _, id in ipairs(rpc.chain(served, { type = kind, iface = "veth0" })) do
        members[id] = true
      end
    end
    local pinned = assert(core.system.list(served.run_dir .. "/fs/programs"))
    local list = assert(rpc.call(served, "program.list")).programs
    assert.equal(#list, #pinned)
    for _, program in ipairs(list) do assert.is_true(members[program.id]) end
    assert.same({}, core.system.list(served.run_dir .. "/fs/staging"))
  end

  local OLD <const>, NEW <const> = { xdp = "a b", tc = "t" }, { xdp = "b c a", tc = "u t" }
  local old_text, new_text
  setup(function()
    old_text = xdp("a", 10) .. xdp("b", 20) .. tc("t", 5)
    new_text = xdp("b", 1) .. xdp("c", 5, 'map_owner = "b",') .. xdp("a", 10) .. tc("u", 1)
      .. tc("t", 5, 'metadata = { v = "2" },')
  end)

  -- Kills at moments that are spread over what an apply takes; some of them must have hit.
  local function kill_at(moments, kill)
    local path <const> = served.directory .. "/new.lua"
    local file <close> = assert(io.open(path, "w"))
    file:write(new_text)
    file:close()
    applied(old_text, "--prune")
    local began <const>, hit = uv.hrtime(), 0
    applied(new_text, "--prune")
    local takes <const> = (uv.hrtime() - began) // 1000000
    for moment = 1, moments do
      applied(old_text, "--prune")
      local running = process.start(pair.near:inside { bpfctl.path, "--socket", served.socket, "-q",
        "apply", path, "--as", "web.lua" })
      uv.sleep(takes * moment // moments)
      kill()
      if running:wait() ~= 0 then hit = hit + 1 end
      if not served.process:alive() then served:restart() end
      check_whole(OLD, NEW)
      applied(new_text, "--prune")
      assert.same(NEW, { xdp = labels "xdp", tc = labels "tc" })
    end
    os.remove(path)
    assert.is_true(hit > 0, "no kill has hit") -- how many is the machine's load
  end

  it("leaves each hook its old or its new chain when its job is killed", function()
    kill_at(rounds(30), function() served:kill_jobs() end)
  end)

  it("leaves each hook its old or its new chain when the daemon is killed", function()
    kill_at(rounds(12), function() served:kill() end)
  end)

  it("is written by export as what runs, and applied again gives the same", function()
    applied(old_text .. xdp("s", 10, 'map_owner = "a", global = { VERDICT = "u32:1" },'))
    assert(rpc.load_xdp(served, "veth0", 10, { metadata = { owner = 'a "b"' } }))
    local owner = assert(rpc.load_xdp(served, "veth0", 10))
    assert(rpc.load_xdp(served, "veth0", 30, { map_owner_id = owner.id }))
    local has_tcx <const> = bpf.features.type "tcx"
    assert(not has_tcx or rpc.load(served, { name = "count_tc", attach = { type = "tcx",
      iface = "veth0", direction = "egress", priority = 3 } }))
    assert(rpc.load(served, { name = "count_call",
      attach = { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" } }))
    local function shown()
      local lines = {}
      for _, kind in ipairs { "xdp", "tc" } do
        for _, member in ipairs(rpc.call(served, "chain.get", { type = kind }).members) do
          local program = rpc.call(served, "program.get", { id = member.id })
          lines[#lines + 1] = json.encode({ kind, member.position, member.priority,
            member.proceed_on, program.name, program.global, program.metadata,
            program.map_owner_id ~= nil, program.path, #program.map_used_by }, { sorted = true })
        end
      end
      return lines
    end
    local text = served:check "export"
    assert.equal(text, served:check "export")
    local only = served:check("export", "--declared-by", "web.lua")
    assert.equal(4, select(2, only:gsub('program "', "")))
    local here <const> = shown()
    applied("", "--prune")
    rpc.unload_all(served)
    applied(text)
    assert.same(here, shown())
    assert.equal(text, served:check "export")
    assert.equal(has_tcx and 9 or 8, #assert(rpc.call(served, "program.list")).programs)
  end)
end)
