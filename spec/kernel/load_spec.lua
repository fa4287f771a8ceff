-- Many clients at once. BPFD_LOAD_SECONDS=60: for that long instead of a few rounds.
local uv = require "luv"
local daemon = require "spec.support.daemon"
local load = require "spec.support.load"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local CLIENTS <const> = 64
local SECONDS <const> = tonumber(os.getenv "BPFD_LOAD_SECONDS")
local PAGES <const> = 256 -- a MiB: what the daemon may have grown by
local ifaces <const> = { "veth0", "veth1", "veth2", "veth3" }

describe("sixty-four clients at once", function()
  local near, served, empty

  setup(function()
    near = namespace.new()
    for i, iface in ipairs(ifaces) do
      near:check { "ip", "link", "add", iface, "type", "veth", "peer", "name", "peer" .. i }
    end
    served = daemon.start { namespace = near, log_level = "info" }
    empty = residue.scan(served)
  end)

  teardown(function()
    served:close()
    near:close()
  end)

  local function resident_pages()
    local file <close> = assert(io.open(("/proc/%d/statm"):format(served.pid)))
    return file:read("a"):match "%d+ (%d+)" + 0
  end

  local function descriptors()
    local count, scan = 0, assert(uv.fs_scandir(("/proc/%d/fd"):format(served.pid)))
    while uv.fs_scandir_next(scan) do count = count + 1 end
    return count
  end

  local function run()
    return load.run(served.socket, { clients = CLIENTS, ifaces = ifaces,
      seconds = SECONDS, rounds = not SECONDS and 1 or nil })
  end

  it("are each answered right, and leave the daemon as it was", function()
    run() -- what the first requests allocate stays
    assert.equal(empty, residue.settled(served, empty))
    local descriptors_before, pages_before = descriptors(), resident_pages()
    local rounds = run()
    assert.is_true(rounds >= CLIENTS)
    assert.same({}, rpc.call(served, "program.list").programs)
    assert.equal(empty, residue.settled(served, empty))
    process.eventually(function() return descriptors() == descriptors_before end)
    assert.equal(descriptors_before, descriptors())
    -- the daemon gives memory back every few seconds
    process.eventually(function() return resident_pages() <= pages_before + PAGES end)
    assert.is_true(resident_pages() <= pages_before + PAGES,
      ("%d pages more"):format(resident_pages() - pages_before))
    assert.is_nil(served:log_text():find("fault", 1, true))
  end)
end)
