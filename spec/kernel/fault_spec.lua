-- What is left of a load or an unload when a call fails in its midst, or is the last.
local chain_support = require "spec.support.chain"
local probe = require "spec.support.probe"
local process = require "spec.support.process"
local programs = require "spec.support.fault_programs"
local rpc = require "spec.support.rpc"
local walk = require "spec.support.fault_walk"

local has_priority <const> = { xdp = true, tc = true, tcx = true }

local function load(self, type_name, priority)
  return self:load(programs.of(type_name, has_priority[type_name] and priority))
end

-- With `beside`, another program is on the hook.
local function load_of(type_name, beside)
  return {
    name = ("a load of %s%s"):format(type_name, beside and " beside another" or ""),
    missing = function() return probe.missing(type_name) end,
    lay = function(self) return beside and assert(load(self, type_name, 60)) end,
    run = function(self) return load(self, type_name, 40) end,
  }
end

local function unload_of(type_name, beside)
  local operation <const> = load_of(type_name, beside)
  operation.name = "an un" .. operation.name:sub(3)
  operation.before = function(self) return assert(load(self, type_name, 40)).id end
  operation.run = function(self, id) return self:call("program.unload", { id = id }) end
  return operation
end

describe("with a fault in it,", function()
  local operations = {}
  for _, type_name in ipairs { "xdp", "tc" } do
    for _, beside in ipairs { false, true } do
      table.insert(operations, load_of(type_name, beside))
      table.insert(operations, unload_of(type_name, beside))
    end
  end
  operations[1].also = { "ioctl", "lstat", "fdopendir", "readlink", "bpf 28" } -- BPF_LINK_CREATE
  operations[2].also = { "fdopendir", "bpf 34" } -- BPF_LINK_DETACH
  for _, type_name in ipairs { "tcx", "tracepoint", "raw_tracepoint", "kprobe", "uprobe",
    "fentry" } do
    table.insert(operations, load_of(type_name))
    table.insert(operations, unload_of(type_name))
  end
  walk.declare(_ENV, operations)
end)

describe("with the engine freplace and a fault in it,", function()
  local operations = {}
  for _, type_name in ipairs { "xdp", "tc" } do
    for _, operation in ipairs { load_of(type_name, true), unload_of(type_name, true) } do
      operation.missing = function() return chain_support.refusal("freplace", type_name) end
      table.insert(operations, operation)
    end
  end
  walk.declare(_ENV, operations, {
    config = 'return { interfaces = { ["*"] = { engine = "freplace", libxdp = "never" } } }' })
end)

describe("a daemon that has failed to hear of an interface", function()
  local self

  setup(function() self = walk.start() end)
  teardown(function() self:close() end)

  it("hears of it later, and of others", function()
    local near <const> = self.pair.near
    local wanted <const>, object <const> = programs.of("xdp", 10)
    wanted.label, wanted.object, wanted.attach.iface = "late", object, "late*"
    assert(rpc.apply(self.served, "late.lua", { wanted }))
    self.faults:arm("fail", { at = 1, only = "recvfrom", daemon = self.served.pid })
    for count = 1, 2 do
      near:check { "ip", "link", "add", "late" .. count, "type", "veth", "peer", "name",
        "peer" .. count }
      assert(process.eventually(function() return #self:listed() == count end), count)
    end
    assert.is_true(self.faults:disarm().fired)
    for count = 1, 2 do near:check { "ip", "link", "del", "late" .. count } end
    assert(process.eventually(function() return #self:listed() == 0 end))
  end)
end)

describe("a load whose job dies, after another that the same process has done", function()
  local self

  setup(function() self = walk.start() end)
  teardown(function() self:close() end)

  it("is not taken for that one", function()
    local first <const> = assert(load(self, "xdp", 40))
    self.faults:arm("kill_caller", { at = 1, only = "bpf 29", daemon = self.served.pid })
    assert.is_nil((load(self, "xdp", 50))) -- BPF_LINK_UPDATE
    assert.is_true(self.faults:disarm().fired)
    assert.equal(1, #self:listed())
    assert(self:call("program.unload", { id = first.id }))
  end)
end)
