-- What is left of a load with --persist, of its end, and of the start that loads it again after a
-- reboot, when a call fails in its midst, or is the last.
local core = require "bpf.core"
local fault = require "spec.support.fault"
local fault_start = require "spec.support.fault_start"
local process = require "spec.support.process"
local programs = require "spec.support.fault_programs"
local rpc = require "spec.support.rpc"
local walk = require "spec.support.fault_walk"

local HAND <const> = "hand.lua" -- a declaration that was applied by hand
local RETRIED <const> = 10000   -- milliseconds in which what failed once has been tried again

local function load(self, type_name, priority, map_owner_id)
  local params <const>, object <const> = programs.of(type_name, priority)
  params.persist, params.map_owner_id = true, map_owner_id
  return self:load(params, object)
end

local function load_xdp(self) return load(self, "xdp", 40) end

local function entry_by_hand()
  local entry <const>, object <const> = programs.of("xdp", 30)
  entry.label, entry.object, entry.persist = "by hand", object, true
  return entry
end

local function file_text()
  local params <const>, object <const> = programs.of("tcx", 5)
  return ('program "from a file" { path = "%s", name = "%s", attach = { type = "%s", \z
    iface = "veth0", direction = "ingress", priority = 5 }, global = { VERDICT = "%s" } }\n')
    :format(object, params.name, params.attach.type, params.global.VERDICT)
end

-- Everything that comes back by itself: programs of several types, one of which shares the maps of
-- one on another hook, a declaration, and a file of programs.d.
local function lay(self)
  local owner <const> = assert(load(self, "xdp", 10))
  assert(load(self, "xdp", 20))
  assert(load(self, "tc", 10, owner.id))
  assert(load(self, "tc", 20))
  assert(load(self, "tracepoint"))
  assert(rpc.apply(self.served, HAND, { entry_by_hand() }))
  self.served:declaration("file.lua", file_text())
  assert(rpc.call(self.served, "system.reload"))
  self.laid_count = #self:listed()
end

local function lift(self)
  self.served:declaration("file.lua", nil)
  assert(rpc.call(self.served, "system.reload"))
  rpc.unload_all(self.served)
  for _, one in ipairs(rpc.call(self.served, "system.status").persisted) do
    assert(rpc.call(self.served, "program.unload", { persisted = one.number }))
  end
  assert(rpc.apply(self.served, HAND, {}))
end

local function end_boot(self) self.served:end_boot { kill = true } end

-- What of all that does not run (yet), and why.
local function absent(self)
  local status <const> = assert(rpc.call(self.served, "system.status"))
  local lines = {}
  for _, list in ipairs { status.persisted, status.declarations } do
    for _, one in ipairs(list) do
      if one.state ~= "running" and one.state ~= "applied" then
        lines[#lines + 1] = ("%s is %s: %s"):format(one.name, one.state, tostring(one.problem))
      end
    end
  end
  local problem <const> = status.programs_directory.problem
  if type(problem) == "string" then lines[#lines + 1] = problem end
  return #lines > 0 and table.concat(lines, "\n") or nil
end

-- What fails is tried again soon.
local function start(self)
  local good, err = fault_start.run(self)
  if not good then return nil, err end
  process.eventually(function() return not absent(self) end, RETRIED)
  local missing <const> = absent(self)
  return not missing or nil, missing
end

-- All have other numbers then. What is not as it was is laid anew.
local function lay_again(self)
  fault_start.remove_set_aside(self)
  if #self:listed() ~= self.laid_count or absent(self) then
    lift(self)
    lay(self)
  end
  self:keep_all()
end

describe("with a fault in it,", function()
  walk.declare(_ENV, {
    { name = "a load that is persisted", run = load_xdp },
    { name = "an unload of what is persisted",
      before = function(self) return assert(load_xdp(self)).id end,
      run = function(self, id) return self:call("program.unload", { id = id }) end },
  })
end)

describe("with a fault in it,", function()
  walk.declare(_ENV, {
    { name = "a start after a reboot", lay = lay, lift = lift, before = end_boot, run = start,
      at_start = true, renumbers = true, after = lay_again },
  })
end)

describe("a start after a reboot", function()
  local self

  setup(function() self = walk.start() end)
  teardown(function() self:close() end)

  -- Calls of a change of several hooks, which come one after the other: chains are attached before
  -- those that are there are swapped.
  local SECOND_ATTACH <const> = { at = 2, only = "bpf 28" } -- BPF_LINK_CREATE
  local SWAP <const> = { at = 1, only = "bpf 29" }          -- BPF_LINK_UPDATE

  local function die_in_it(mode, call)
    end_boot(self)
    self.faults:arm(mode, call)
    local good <const> = start(self)
    assert.is_true(self.faults:disarm().fired)
    if mode == "kill_daemon" then assert(start(self)) else assert(good) end
  end

  -- Of each that runs, what it is and how many use its maps, which are to be seen.
  local function running()
    local words = {}
    for at, program in ipairs(self:listed()) do
      local all <const> = self:call("program.get", { id = program.id })
      assert.is_true(core.system.exists(all.map_pin_path .. "/hits"))
      words[at] = ("%s %d"):format(program.type, #all.map_used_by)
    end
    table.sort(words)
    rpc.unload_all(self.served)
    return words
  end

  it("loads nothing twice whose job died between two hooks", function()
    local owner <const> = assert(load_xdp(self))
    assert(load(self, "tc", 10, owner.id))
    die_in_it("kill_caller", SECOND_ATTACH)
    assert.same({ "tc 2", "xdp 2" }, running())
  end)

  it("shares maps likewise where their owner is gone", function()
    local owner <const> = assert(self:load(programs.of("xdp", 40)))
    assert(load(self, "xdp", 50, owner.id))
    assert(load(self, "tc", 10, owner.id))
    die_in_it("kill_caller", SECOND_ATTACH)
    assert.same({ "tc 2", "xdp 2" }, running())
  end)

  for who, mode in pairs { job = "kill_caller", daemon = "kill_daemon" } do
    it("shares maps whose owner was to come when the " .. who .. " died", function()
      assert(rpc.apply(self.served, HAND, { entry_by_hand() }))
      local owner <const> = assert(load_xdp(self))
      assert(load(self, "tc", 10, owner.id))
      assert(load(self, "tc", 20, owner.id))
      die_in_it(mode, SWAP)
      assert.same({ "tc 3", "tc 3", "xdp 1", "xdp 3" }, running())
      assert(rpc.apply(self.served, HAND, {}))
    end)
  end

  it("goes on to programs.d where a job dies behind its swap", function()
    assert(load_xdp(self))
    self.served:declaration("file.lua", file_text())
    assert(rpc.call(self.served, "system.reload"))
    end_boot(self)
    self.faults:arm("count", {})
    assert(start(self))
    die_in_it("kill_caller", { only = "opendir",
      at = fault.place_behind(self.faults:disarm().log, "opendir", SECOND_ATTACH.only) })
    assert.equal(2, #self:listed())
    self.served:declaration("file.lua", nil)
    assert(rpc.call(self.served, "system.reload"))
    rpc.unload_all(self.served)
  end)

  it("has programs.d in force whichever process of it cannot be made", function()
    self.served:declaration("file.lua", file_text())
    local at = 0
    repeat
      at = at + 1
      end_boot(self)
      self.faults:arm("fail", { at = at, only = "fork" })
      start(self)
      local fired <const> = self.faults:disarm().fired
      if not self.served.process:alive() then assert(start(self)) end
      assert(process.eventually(function() return #self:listed() == 1 end, RETRIED), at)
    until not fired
    assert.is_true(at > 2)
    self.served:declaration("file.lua", nil)
    assert(rpc.call(self.served, "system.reload"))
  end)
end)
