-- What somebody else has changed is found, told and mended: by `bpfctl doctor --repair`, and by a
-- daemon that starts. Each case does its damage with the tools that an administrator has.
local bpf = require "bpf"
local core = require "bpf.core"
local daemon = require "spec.support.daemon"
local namespace = require "spec.support.namespace"
local probe = require "spec.support.probe"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local CLSACT <const> = 'return { interfaces = { ["*"] = { tc_attach = "clsact" } } }\n'

local FREPLACE <const> = 'return { interfaces = { ["*"] = { engine = "freplace" } } }\n'

local tracepoint <const> = { type = "tracepoint", tracepoint = probe.tracepoint }

local is_chained <const> = { xdp = true, tc = true }

local function attach_of(kind, priority)
  return { type = kind, iface = "veth0", priority = priority,
    direction = kind ~= "xdp" and "ingress" or nil }
end

-- Each lets the next one run too: in its chain, and under TCX.
local verdicts <const> = { tc = { VERDICT = "u32:0" }, tcx = { VERDICT = "u32:4294967295" } }

local function load(served, kind, priority)
  local name <const> = kind == "xdp" and "count_xdp" or kind == "tracepoint" and "count_call"
    or "count_tc"
  return assert(rpc.load(served, { name = name,
    global = verdicts[kind],
    attach = kind == "tracepoint" and tracepoint or attach_of(kind, priority) }))
end

local function chain_directory(served, kind)
  for _, name in ipairs(assert(core.system.list(served.run_dir .. "/fs/chains"))) do
    if name:find("^" .. kind) then return served.run_dir .. "/fs/chains/" .. name end
  end
  return error("no chain of " .. kind)
end

local function head_directory(served, kind)
  local directory <const> = chain_directory(served, kind)
  for _, name in ipairs(assert(core.system.list(directory))) do
    if name:find "^%d+$" then return directory .. "/" .. name end
  end
end

local function remove(path) process.check { "rm", "-r", path } end

local function program_directory(served, program)
  return ("%s/fs/programs/%d"):format(served.run_dir, program.id)
end

local function detach_link(path) process.check { "bpftool", "link", "detach", "pinned", path } end

local function has_tcx() return (bpf.features.type "tcx") end

local function has_freplace() return (bpf.chain.engine("freplace").available "xdp") end

local function change_database(served, sql)
  local database <close> = assert(require("bpfd_database").open(served.state_dir .. "/bpfd.db"))
  assert(database:execute(sql))
end

local function database_version(served)
  local database <close> = assert(require("bpfd_database").open(served.state_dir .. "/bpfd.db"))
  local statement <close> = assert(database:prepare "PRAGMA user_version")
  return statement:row().user_version
end

-- An interface that comes and goes, always with the same number.
local function add_late(pair)
  pair.near:check { "ip", "link", "add", "late0", "index", "77", "type", "veth", "peer", "name",
    "late1", "index", "78" }
end

---@class doctor.case
---@field [1] string
---@field loads string[]     types: two programs for a chain, one for what has a link of its own
---@field config string?
---@field needs (fun(): boolean)?
---@field damage fun(served: table, programs: table[], pair: table)
---@field codes string[]?    that the doctor tells; nil: the case is one for a start
---@field stopped string[]?  that a start tells, where those are others

---@type doctor.case[]
local cases <const> = {
  { "links that were detached", loads = { "xdp", "tc", "tcx" }, codes = { "chain.detached" },
    damage = function(served, programs)
      for _, program in ipairs(programs) do
        local link <const> = program_directory(served, program) .. "/link"
        if program.type == "tcx" then detach_link(link) end
      end
      detach_link(chain_directory(served, "xdp") .. "/link")
      if has_tcx() then detach_link(chain_directory(served, "tc") .. "/link") end
    end },
  { "a TC filter that was deleted", loads = { "tc" }, config = CLSACT,
    codes = { "chain.detached" }, damage = function(_, _, pair)
      pair.near:check { "tc", "filter", "del", "dev", "veth0", "ingress" }
    end },
  { "a clsact qdisc that was deleted", loads = { "tc" }, config = CLSACT,
    codes = { "chain.detached" }, damage = function(_, _, pair)
      pair.near:check { "tc", "qdisc", "del", "dev", "veth0", "clsact" }
    end },
  { "XDP switched off", loads = { "xdp" }, config = FREPLACE, needs = has_freplace,
    codes = { "chain.detached" }, damage = function(_, _, pair)
      pair.near:check { "ip", "link", "set", "dev", "veth0", "xdp", "off" }
    end },
  { "links' pins that were removed", loads = { "xdp", "tracepoint", "tcx" },
    codes = { "program.detached" }, damage = function(served, programs)
      remove(chain_directory(served, "xdp") .. "/link")
      for _, program in ipairs(programs) do
        if program.type ~= "xdp" then remove(program_directory(served, program) .. "/link") end
      end
    end },
  { "a chain's pins that were removed", loads = { "xdp" }, codes = { "pin.missing" },
    damage = function(served) remove(head_directory(served, "xdp") .. "/manifest") end },
  { "programs' pins that were removed", loads = { "xdp", "tc", "tracepoint" },
    codes = { "pin.missing" }, damage = function(served, programs)
      remove(head_directory(served, "xdp") .. "/counters")
      for _, program in ipairs(programs) do
        local directory <const> = program_directory(served, program)
        remove(("%s/fs/maps/%d/hits"):format(served.run_dir, program.id))
        remove(directory .. "/record")
        remove(directory .. "/maps")
        if program.type == "tracepoint" then remove(directory .. "/program") end
      end
    end },
  { "all pins of a chain removed", loads = { "xdp" }, codes = { "pin.missing" },
    stopped = { "chain.detached" },
    damage = function(served) remove(chain_directory(served, "xdp")) end },
  { "all pins of a filter's chain removed", loads = { "tc" }, config = CLSACT,
    codes = { "pin.missing" },
    damage = function(served) remove(chain_directory(served, "tc")) end },
  { "a database that was deleted", loads = { "xdp", "tracepoint" }, codes = { "database.gone" },
    stopped = { "index.missing" }, damage = function(served)
      for _, suffix in ipairs { "", "-wal", "-shm" } do
        os.remove(served.state_dir .. "/bpfd.db" .. suffix)
      end
    end },
  { "a database that was damaged", loads = { "xdp", "tracepoint" },
    codes = { "database.damaged" }, damage = function(served)
      change_database(served, "PRAGMA wal_checkpoint(TRUNCATE)")
      local file <close> = assert(io.open(served.state_dir .. "/bpfd.db", "r+b"))
      file:seek("set", 4096)
      file:write(("nonsense"):rep(8192))
    end },
  { "a database of another boot", loads = { "xdp", "tracepoint" }, stopped = { "index.missing" },
    damage = function(served)
      change_database(served, "UPDATE programs SET boot_id = 'b'; UPDATE chains SET boot_id = 'b'")
    end },
}

describe("the doctor", function()
  local pair, served, empty, config, is_used

  local function stop()
    if served then served:close() end
    if pair then pair.far:close() end
    if pair then pair.near:close() end
    pair, served = nil, nil
  end

  -- One daemon serves all cases of a configuration, as long as each leaves nothing.
  local function start(wanted, options)
    if served and not is_used and config == wanted and not options then return end
    stop()
    config, is_used = wanted, true
    pair = namespace.pair "veth0"
    options = options or {}
    options.namespace, options.config, options.log_level = pair.near, wanted, "info"
    served = daemon.start(options)
    empty = residue.scan(served)
  end

  teardown(stop)

  local function load_all(case)
    local programs = {}
    for _, kind in ipairs(case.loads) do
      if kind == "tcx" and not has_tcx() then break end
      for priority = 1, is_chained[kind] and 2 or 1 do
        programs[#programs + 1] = load(served, kind, priority)
      end
    end
    return programs
  end

  local function findings(...)
    local result <const> = served:bpfctl("doctor", "-o", "json", ...)
    local report <const> = assert(require("bpf.json").decode(result.stdout), result.stderr)
    return report.findings, result.exit
  end

  local function codes(list, state)
    local found = {}
    for _, finding in ipairs(list) do
      assert.equal(state, finding.state, finding.trouble or finding.text)
      found[finding.code] = true
    end
    return found
  end

  -- Every packet meets each of them once, and every call too.
  local function assert_runs(programs)
    for _, program in ipairs(programs) do
      local before <const> = rpc.hits(program)
      if program.type == "tracepoint" then
        probe.trigger(3)
        assert.is_true(rpc.hits(program) >= before + 3) -- others call it too
      else
        namespace.send(pair, 3)
        assert.equal(before + 3, rpc.hits(program))
      end
    end
  end

  local function assert_sound(programs)
    assert_runs(programs)
    local list, status = findings()
    assert.same({}, codes(list, "none"))
    assert.equal(0, status)
    rpc.unload_all(served)
  end

  -- What was set aside is for a person to look at, and no residue.
  local function assert_empty()
    for _, name in ipairs(assert(core.system.list(served.state_dir))) do
      if name:find "broken" then os.remove(served.state_dir .. "/" .. name) end
    end
    assert.equal(empty, residue.settled(served, empty))
    is_used = false
  end

  for _, case in ipairs(cases) do
    local function try(name, body)
      it(name .. " " .. case[1], function()
        if case.needs and not case.needs() then return pending "not on this kernel" end
        start(case.config)
        is_used = true
        local programs <const> = load_all(case)
        assert_runs(programs)
        body(programs)
        assert_sound(programs)
        assert_empty()
      end)
    end
    if case.codes then
      try("finds and mends", function(programs)
        case.damage(served, programs, pair)
        local list, status = findings()
        local found = codes(list, "found")
        assert.equal(1, status)
        list, status = findings "--repair"
        local repaired <const> = codes(list, "repaired")
        assert.equal(0, status)
        for _, code in ipairs(case.codes) do assert.is_true(found[code] and repaired[code]) end
      end)
    end
    try("mends at the start", function(programs)
      served:kill()
      local logged <const> = #served:log_text()
      case.damage(served, programs, pair)
      served:restart()
      local told <const> = served:log_text():sub(logged + 1)
      for _, code in ipairs(case.stopped or case.codes) do assert.matches(code, told, 1, true) end
    end)
  end

  local function state_of(list)
    local lines = {}
    for i, finding in ipairs(list) do lines[i] = finding.code .. " " .. finding.state end
    table.sort(lines)
    return lines
  end

  it("leaves a foreign program alone that is where a chain was, at the start too", function()
    start()
    local programs <const> = load_all { loads = { "xdp" } }
    detach_link(chain_directory(served, "xdp") .. "/link")
    pair.near:check { "ip", "link", "set", "dev", "veth0", "xdp", "obj",
      os.getenv "BUILD" .. "/objects/return_only.o", "sec", "xdp" }
    assert.same({ "chain.displaced left" }, state_of((findings "--repair")))
    served:kill()
    served:restart()
    local list <const>, status <const> = findings()
    assert.same({ "chain.displaced found" }, state_of(list))
    assert.equal(1, status)
    assert.equal(2, #assert(rpc.call(served, "program.list")).programs)
    pair.near:check { "ip", "link", "set", "dev", "veth0", "xdp", "off" }
    assert.same({ "chain.detached repaired" }, state_of((findings "--repair")))
    assert_sound(programs)
    assert_empty()
  end)

  it("tells of a member whose program is lost, which runs on until it is unloaded", function()
    start()
    local programs <const> = load_all { loads = { "xdp" } }
    local lost <const> = programs[1]
    remove(program_directory(served, lost))
    remove(head_directory(served, "xdp") .. "/manifest")
    assert.same({ "pin.missing repaired", "program.lost left" }, state_of((findings "--repair")))
    for _ = 1, 2 do
      assert.same({ "program.lost left" }, state_of((findings "--repair")))
      assert_runs(programs)
      served:kill()
      served:restart()
    end
    assert(rpc.call(served, "program.unload", { id = lost.id }))
    assert_sound { programs[2] }
    assert_empty()
  end)

  it("forgets what went with an interface that another has taken the place of", function()
    start()
    add_late(pair)
    assert(rpc.load_xdp(served, "late0", 1))
    served:kill()
    pair.near:check { "ip", "link", "del", "late0" }
    add_late(pair)
    served:restart()
    assert.matches("interface.gone: xdp late0", served:log_text(), 1, true)
    assert.same({}, (findings()))
    assert.same({}, assert(rpc.call(served, "program.list")).programs)
    pair.near:check { "ip", "link", "del", "late0" }
    assert_empty()
  end)

  it("forgets what went with its file system while no daemon held that", function()
    start()
    load_all { loads = { "xdp", "tracepoint" } }
    served:kill()
    process.check { "umount", served.run_dir .. "/fs" }
    served:restart()
    assert.matches("program.lost", served:log_text(), 1, true)
    assert.same({}, assert(rpc.call(served, "program.list")).programs)
    local kept <const> = load(served, "xdp", 1)
    assert_sound { kept }
    assert_empty()
  end)

  -- With another version in a frozen map, as a newer bpfd would have pinned it.
  local function pin_newer(path, pattern)
    local map <close> = assert(bpf.map.open_pin(path))
    local newer <close> = assert(bpf.map.blob((assert(map:blob()):gsub(pattern, function(before)
      return before .. "9"
    end)), "newer"))
    remove(path)
    assert(newer:pin(path))
  end

  it("leaves a chain alone whose manifest a newer bpfd has written", function()
    start()
    local programs <const> = load_all { loads = { "xdp" } }
    served:kill()
    local path <const> = head_directory(served, "xdp") .. "/manifest"
    local before <close> = assert(bpf.map.open_pin(path))
    pin_newer(path, '"version":1')
    served:restart()
    assert_runs(programs)
    assert.same({ "chain.unreadable left" }, state_of((findings "--repair")))
    assert.equal(2, #assert(rpc.call(served, "program.list")).programs)
    remove(path)
    assert(before:pin(path))
    assert_sound(programs)
    assert_empty()
  end)

  it("says what is wrong with its disk, and works again when that is mended", function()
    local volume <close> = setmetatable({}, { -- luacheck: ignore volume
      __close = function(self)
        stop()
        process.run { "umount", "-l", self.path }
        process.check { "rmdir", self.path }
      end,
    })
    volume.path = ("/tmp/bpfd-spec-%d-volume"):format(require("luv").os_getpid())
    process.check { "mkdir", volume.path }
    process.check { "mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "bpfd-spec", volume.path }
    start(nil, { state_dir = volume.path })
    local kept <const> = load(served, "xdp", 1)
    process.run { "dd", "if=/dev/zero", "of=" .. volume.path .. "/filler", "bs=4k" }
    local refused <const>, err <const> = rpc.load_xdp(served, "veth0", 2)
    assert.is_nil(refused)
    assert.equal("ENOSPC", err.code)
    local list <const> = findings "--repair"
    assert.same({ "database.unwritable left" }, state_of(list))
    assert.matches("make room", list[1].text)
    assert_runs { kept }
    remove(volume.path .. "/filler")
    assert.same({}, (findings()))
    served:kill()
    process.check { "mount", "-o", "remount,ro", volume.path }
    local logged <const> = #served:log_text()
    assert.has_error(function() served:restart() end)
    assert.matches("[Rr]ead%-?only", served:log_text():sub(logged + 1))
    assert_runs { kept }
    process.check { "mount", "-o", "remount,rw", volume.path }
    served:restart()
    assert_sound { kept }
  end)

  it("does not start on the database of a newer bpfd, and touches nothing", function()
    start()
    local kept <const> = load(served, "xdp", 1)
    served:kill()
    local version <const> = database_version(served)
    change_database(served, "PRAGMA user_version = 99")
    local logged <const> = #served:log_text()
    assert.has_error(function() served:restart() end)
    assert.matches("version 99, which a newer bpfd has written; start that one",
      served:log_text():sub(logged + 1))
    assert_runs { kept }
    change_database(served, ("PRAGMA user_version = %d"):format(version))
    served:restart()
    assert_sound { kept }
    assert_empty()
  end)
end)
