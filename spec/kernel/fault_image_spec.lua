-- What is left of a pull, and of a load from an image, when a call fails in their midst or is the
-- last.
local uv = require "luv"
local core = require "bpf.core"
local network = require "bpf.network"
local chain_support = require "spec.support.chain"
local layout_server = require "spec.support.layout_server"
local oci = require "spec.support.oci"
local process = require "spec.support.process"
local programs = require "spec.support.fault_programs"
local rpc = require "spec.support.rpc"
local walk = require "spec.support.fault_walk"
local files = require "spec.support.files"

describe("with a fault in it,", function()
  local directory = ("/tmp/bpfd-spec-%d-images"):format(uv.os_getpid())
  local registry

  setup(function()
    assert(uv.fs_mkdir(directory, 448))
    oci.put(directory .. "/layout", "any/count:1", {
      labels = { ["io.ebpf.programs"] = '{"count_xdp":"xdp"}' },
      layers = { oci.layer { { name = "daemon.o", data = files.read(rpc.object) } } } })
  end)

  -- On the loopback of the namespace where the daemon is.
  local function start_registry(pair)
    local home <close> = assert(core.system.open "/proc/self/ns/net")
    chain_support.enter(pair.near)
    registry = layout_server.start(directory .. "/layout")
    assert(network.enter(home:fd()))
  end

  teardown(function()
    if registry then registry:close() end
    process.check { "rm", "-rf", directory }
  end)

  local function url() return registry.host .. "/any/count:1" end

  -- What is in the store must be whole: it is read by its digests.
  local function check_store(self)
    for _, image in ipairs(assert(self:call("image.list", {})).images) do
      assert(self:call("image.inspect", { image_url = image.image_url }))
    end
  end

  local function prune(self)
    check_store(self)
    for _, program in ipairs(self:listed()) do
      assert(self:call("program.unload", { id = program.id }))
    end
    -- who has died in the midst of writing counts as dead once it is waited for, by whoever does
    process.eventually(function()
      assert(self:call("image.prune", { all = true }))
      local partial <const> = self.served.state_dir .. "/images/partial"
      return #(core.system.list(partial) or {}) == 0
    end)
  end

  local function pull(self) return self:call("image.pull", { image_url = url() }) end

  local function load(self)
    local wanted <const> = programs.of("xdp", 40)
    wanted.image_url = url()
    return self:call("program.load", wanted)
  end

  walk.declare(_ENV, {
    { name = "a pull", lay = function(self)
      pull(self)
      prune(self)
    end, run = pull, after = prune },
    { name = "a load from an image that is pulled for it", run = load, after = prune },
    { name = "a load from an image of the store", before = function(self) assert(pull(self)) end,
      run = load, after = prune },
  }, { ready = start_registry, config = function()
    return ('return { registries = { ["%s"] = { plain_http = true } } }'):format(registry.host)
  end })
end)
