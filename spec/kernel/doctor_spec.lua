-- What somebody else has changed is found, told and mended: by `bpfctl doctor --repair`, and by a
-- daemon that starts. Each case does its damage with the tools that an administrator has.
local bpf = require "bpf"
local core = require "bpf.core"
local daemon = require "spec.support.daemon"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local CLSACT <const> = 'return { interfaces = { ["*"] = { tc_attach = "clsact" } } }\n'

local tracepoint <const> = { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" }

local function attach_of(kind, priority)
  return { type = kind, iface = "veth0", priority = priority,
    direction = kind ~= "xdp" and "ingress" or nil }
end

local function load(served, kind, priority)
  local name <const> = kind == "xdp" and "count_xdp" or kind == "tracepoint" and "count_call"
    or "count_tc"
  return assert(rpc.load(served, { name = name,
    global = kind == "tc" and { VERDICT = "u32:0" } or nil,
    attach = kind == "tracepoint" and tracepoint or attach_of(kind, priority) }))
end

local function chain_directory(served, kind)
  for _, name in ipairs(assert(core.system.list(served.run_dir .. "/fs/chains"))) do
    if name:find("^" .. kind) then return served.run_dir .. "/fs/chains/" .. name end
  end
  error("no chain of " .. kind)
end

local function head_of(served, kind)
  for _, name in ipairs(assert(core.system.list(chain_directory(served, kind)))) do
    if name:find "^%d+$" then return chain_directory(served, kind) .. "/" .. name end
  end
end

local function remove(path) process.check { "rm", "-r", path } end

local function pins_of(served, program) return ("%s/fs/programs/%d"):format(served.run_dir,
  program.id) end

-- Interfaces that come and go with the same number and name.
local function add_late(pair)
  pair.near:check { "ip", "link", "add", "late0", "index", "77", "type", "veth", "peer", "name",
    "late1", "index", "78" }
end

local function has_tcx() return (bpf.features.type "tcx") end

---@class doctor.case
---@field [1] string
---@field loads string[]     types, each of two programs but for the tracepoint
---@field config string?
---@field needs (fun(): boolean)?
---@field damage fun(served: table, programs: table[], pair: table)
---@field code string        that the doctor tells
---@field alive "only"|false|nil  whether a daemon runs when the damage is done; nil: both are tried
---@field left boolean?      it cannot be mended
---@field undo (fun(served: table, pair: table))?  after `left`

local cases <const> = {
  { "an XDP link that was detached", loads = { "xdp" }, code = "chain.detached",
    damage = function(served)
      process.check { "bpftool", "link", "detach", "pinned", chain_directory(served, "xdp")
        .. "/link" }
    end },
  { "a TCX link that was detached", loads = { "tc" }, needs = has_tcx, code = "chain.detached",
    damage = function(served)
      process.check { "bpftool", "link", "detach", "pinned", chain_directory(served, "tc")
        .. "/link" }
    end },
  { "a TC filter that was deleted", loads = { "tc" }, config = CLSACT, code = "chain.detached",
    damage = function(_, _, pair)
      pair.near:check { "tc", "filter", "del", "dev", "veth0", "ingress" }
    end },
  { "a clsact qdisc that was deleted", loads = { "tc" }, config = CLSACT, code = "chain.detached",
    damage = function(_, _, pair)
      pair.near:check { "tc", "qdisc", "del", "dev", "veth0", "clsact" }
    end },
}

describe("the doctor", function()
  local pair, served, empty

  local function start(config)
    pair = namespace.pair "veth0"
    served = daemon.start { namespace = pair.near, config = config, log_level = "info" }
    empty = residue.scan(served)
  end

  after_each(function()
    served:close()
    pair.far:close()
    pair.near:close()
  end)

  local function load_all(case)
    local programs = {}
    for _, kind in ipairs(case.loads) do
      for priority = 1, kind == "tracepoint" and 1 or 2 do
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

  -- Every packet and every call meets each of them once.
  local function assert_runs(programs)
    for _, program in ipairs(programs) do
      local before <const> = rpc.hits(program)
      if program.type == "tracepoint" then
        process.check { "sh", "-c", "ps -o pgid= -p $$ >/dev/null" }
        assert.is_true(rpc.hits(program) >= before)
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
    assert.equal(empty, residue.settled(served, empty))
  end

  for _, case in ipairs(cases) do
    local function try(name, body)
      it(name .. " " .. case[1], function()
        if case.needs and not case.needs() then return pending "not on this kernel" end
        start(case.config)
        local programs <const> = load_all(case)
        assert_runs(programs)
        body(programs)
        assert_sound(programs)
      end)
    end
    if case.alive ~= false then
      try("finds and mends", function(programs)
        case.damage(served, programs, pair)
        local list, status = findings()
        assert.is_true(codes(list, "found")[case.code])
        assert.equal(1, status)
        list, status = findings "--repair"
        assert.is_true(codes(list, "repaired")[case.code])
        assert.equal(0, status)
      end)
    end
    if case.alive ~= "only" then
      try("mends at the start", function(programs)
        served:kill()
        case.damage(served, programs, pair)
        served:restart()
        assert.matches(case.code, served:log_text(), 1, true)
      end)
    end
  end
end)
