-- What is left of changes of many programs when a call fails in their midst, or is the last:
-- declarations, replacements, new orders.
local core = require "bpf.core"
local chain_support = require "spec.support.chain"
local fault = require "spec.support.fault"
local probe = require "spec.support.probe"
local process = require "spec.support.process"
local programs = require "spec.support.fault_programs"
local rpc = require "spec.support.rpc"
local walk = require "spec.support.fault_walk"

local NAME <const> = "faults.lua"

-- An entry of a declaration as it travels; v tells the old from the new.
local function entry(label, type_name, priority, v)
  local wanted <const>, object <const> = programs.of(type_name, priority, v)
  wanted.label, wanted.object = label, object
  return wanted
end

local function apply(self, entries)
  return rpc.apply(self.served, NAME, entries, { timeout = walk.SILENCE })
end

local function take_away(self) assert(apply(self, {})) end

local function change(name, old, new)
  return {
    name = name,
    before = function(self) assert(apply(self, old)) end,
    run = function(self) return apply(self, new) end,
    after = take_away,
  }
end

local everywhere <const> = { entry("a", "xdp", 10, "1"), entry("b", "xdp", 20, "1"),
  entry("c", "tc", 10, "1"), entry("d", "tcx", 10, "1"), entry("e", "tracepoint", nil, "1") }

-- A replacement with another priority, so that the chain is reordered by the same swap.
local function replacement(type_name)
  return {
    name = "a replacement on " .. type_name,
    missing = function() return probe.missing(type_name) end,
    lay = function(self) assert(self:load(programs.of(type_name, 50, "beside"))) end,
    before = function(self) return assert(self:load(programs.of(type_name, 40, "1"))).id end,
    run = function(self, id)
      local file <close> = assert(core.system.open(rpc.object))
      return self:call("program.replace", { id = id, fd = 0, metadata = { v = "2" },
        attach = { type = type_name, priority = 60 } }, { file })
    end,
  }
end

local operations <const> = {
  change("an apply that adds, changes and removes", everywhere, {
    entry("b", "xdp", 5, "1"), entry("f", "xdp", 30, "2"), entry("c", "tc", 10, "2"),
    entry("g", "tc", 20, "2"), entry("e", "tracepoint", nil, "2"), entry("h", "tcx", 20, "2") }),
  change("an apply of a new order", { entry("a", "xdp", 10, "1"), entry("b", "xdp", 20, "1"),
    entry("c", "xdp", 30, "1"), entry("d", "tcx", 10, "1"), entry("e", "tcx", 20, "1") },
    { entry("a", "xdp", 40, "1"), entry("b", "xdp", 20, "1"), entry("c", "xdp", 30, "1"),
      entry("d", "tcx", 30, "1"), entry("e", "tcx", 20, "1") }),
  change("an apply of nothing, which unloads several", everywhere, {}),
  replacement "xdp", replacement "tc", replacement "tcx",
  {
    name = "two unloads",
    before = function(self)
      return { assert(self:load(programs.of("xdp", 40))).id,
        assert(self:load(programs.of("tc", 40))).id }
    end,
    run = function(self, ids)
      for _, id in ipairs(ids) do
        local gone, err = self:call("program.unload", { id = id })
        if not gone then return nil, err end
      end
      return true
    end,
  },
}

describe("with a fault in it,", function() walk.declare(_ENV, operations) end)

describe("with the engine freplace and a fault in it,", function()
  local some = {}
  for at, operation in ipairs(operations) do
    if at == 1 or at == 4 then
      local copy = {}
      for key, value in pairs(operation) do copy[key] = value end
      copy.missing = function() return chain_support.refusal("freplace", "xdp") end
      some[#some + 1] = copy
    end
  end
  walk.declare(_ENV, some, {
    config = 'return { interfaces = { ["*"] = { engine = "freplace", libxdp = "never" } } }' })
end)

describe("a change that fails when it takes something out of force", function()
  local self

  setup(function() self = walk.start() end)
  teardown(function() self:close() end)

  it("has happened to all of it, or to nothing", function()
    local at = 0
    repeat
      at = at + 1
      assert(apply(self, everywhere))
      self.faults:arm("fail", { at = at, only = "bpf 34", daemon = self.served.pid }) -- LINK_DETACH
      local done <const> = apply(self, {})
      local fired <const> = self.faults:disarm().fired
      assert.equal(done and 0 or #everywhere, #self:listed(), at)
      take_away(self)
    until not fired
    assert.is_true(at > (probe.missing "tcx" and 1 or 3))
  end)

  local old <const> = { entry("a", "xdp", 10, "1"), entry("e", "tracepoint", nil, "1"),
    entry("h", "tcx", 20, "1") }
  local new <const> = { entry("a", "xdp", 10, "2"), entry("e", "tracepoint", nil, "2"),
    entry("h", "tcx", 20, "1"), entry("i", "tcx", 30, "2") }

  -- The tracepoint is attached by then, and the chain is not swapped yet.
  it("has happened to nothing where a place among others cannot be told", function()
    if probe.missing "tcx" then return pending(probe.missing "tcx") end
    assert(apply(self, old))
    self.faults:arm("count", { daemon = self.served.pid })
    assert(apply(self, new))
    local log <const>, ids = self.faults:disarm().log, {}
    take_away(self)
    assert(apply(self, old))
    for place, program in ipairs(self:listed()) do ids[place] = program.id end
    self.faults:arm("fail", { only = "lstat", daemon = self.served.pid,
      at = fault.place_behind(log, "lstat", "bpf 28") }) -- BPF_LINK_CREATE
    assert.is_nil((apply(self, new)))
    assert.is_true(self.faults:disarm().fired)
    for place, program in ipairs(self:listed()) do assert.equal(ids[place], program.id) end
    take_away(self)
  end)

  it("has happened where a program is detached, and its link's pin cannot be removed", function()
    if probe.missing "tcx" then return pending(probe.missing "tcx") end
    local function unload()
      local program <const> = assert(self:load(programs.of("tcx", 10)))
      return function() return self:call("program.unload", { id = program.id }) end
    end
    local first <const> = unload()
    self.faults:arm("count", { daemon = self.served.pid })
    assert(first())
    local at <const> = fault.place_behind(self.faults:disarm().log, "unlink", "bpf 34")
    local second <const> = unload()
    self.faults:arm("fail", { at = at, only = "unlink", daemon = self.served.pid })
    assert(second())
    assert.is_true(self.faults:disarm().fired)
    assert.equal(0, #self:listed())
  end)
end)

describe("a replacement that cannot be written down yet", function()
  local self

  setup(function() self = walk.start() end)
  teardown(function() self:close() end)

  it("is told of as done, and is written down later", function()
    local operation <const> = replacement "xdp"
    local old <const> = operation.before(self)
    self.faults:arm("fail", { at = 1, only = "pwrite64", daemon = self.served.pid })
    local new <const> = assert(operation.run(self, old))
    assert.is_true(self.faults:disarm().fired)
    assert.equal(60, new.attach.priority)
    assert(process.eventually(function()
      local all <const> = self:listed()
      return #all == 1 and all[1].id == new.id
    end))
    rpc.unload_all(self.served)
  end)
end)
