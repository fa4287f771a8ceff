-- Many programs at once: loaded, listed, taken over by the next daemon, unloaded.
-- BPFD_PROGRAMS=1000 for more than usual.
local json = require "bpf.json"
local crowd = require "spec.support.crowd"
local daemon = require "spec.support.daemon"
local namespace = require "spec.support.namespace"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local COUNT <const> = tonumber(os.getenv "BPFD_PROGRAMS") or 120
local CLIENTS <const>, IFACES <const> = 8, 10

describe("many programs", function()
  local near, served

  setup(function()
    near = namespace.new()
    for i = 1, IFACES do
      near:check { "ip", "link", "add", "veth" .. i, "type", "veth", "peer", "name", "peer" .. i }
    end
    served = daemon.start { namespace = near, log_level = "info" }
  end)

  teardown(function()
    served:close()
    near:close()
  end)

  -- A third of them each; the others' chains grow by one after the other.
  local function load(client, number)
    local iface <const> = "veth" .. number % IFACES + 1
    local attach = ({
      [0] = { type = "xdp", iface = iface, priority = number },
      { type = "tc", iface = iface, direction = "egress", priority = number },
      { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" },
    })[number % 3]
    local name <const> = ({ [0] = "count_xdp", "count_tc", "count_call" })[number % 3]
    return assert(client:load(rpc.object, { name = name, attach = attach,
      metadata = { number = tostring(number) } })).id
  end

  -- Each of the clients takes its share of the numbers.
  local function by_all(count, body)
    crowd.run(CLIENTS, function(own)
      local client <close> = crowd.connect(served.socket)
      for number = own, count, CLIENTS do body(client, number) end
    end)
  end

  local function listed()
    return json.encode(assert(rpc.call(served, "program.list")).programs, { sorted = true })
  end

  it("are loaded, listed, taken over and unloaded, and none is lost or comes twice", function()
    local empty <const>, ids = residue.scan(served), {}
    by_all(COUNT, function(client, number) ids[number] = load(client, number) end)
    local told <const>, numbers = listed(), {}
    for _, program in ipairs(json.decode(told)) do
      local number <const> = math.tointeger(tonumber(program.metadata.number))
      assert.equal(ids[number], program.id)
      numbers[#numbers + 1] = number
    end
    assert.equal(COUNT, #numbers)
    for _, ending in ipairs { "kill", "stop" } do
      served[ending](served)
      served:restart()
      assert.equal(told, listed())
    end
    served:kill()
    for _, suffix in ipairs { "", "-wal", "-shm" } do
      os.remove(served.state_dir .. "/bpfd.db" .. suffix)
    end
    served:restart()
    assert.equal(told, listed())
    by_all(COUNT, function(client, number)
      assert(client:call("program.unload", { id = ids[number] }))
    end)
    assert.equal("[]", listed())
    assert.equal(empty, residue.settled(served, empty))
  end)
end)
