-- What is left of a start that a call makes fail in its midst, or that is killed there: the next
-- daemon finds all that ran, and all of it has run meanwhile.
local fault_start = require "spec.support.fault_start"
local programs = require "spec.support.fault_programs"
local walk = require "spec.support.fault_walk"

local start <const>, remove_set_aside <const> = fault_start.run, fault_start.remove_set_aside

local function lay(self)
  for priority = 10, 20, 10 do
    assert(self:load(programs.of("xdp", priority)))
    assert(self:load(programs.of("tc", priority)))
  end
  assert(self:load(programs.of("tcx", 30)))
  assert(self:load(programs.of "tracepoint"))
end

local function stop(self) self.served:kill() end

local function without_database(self)
  self.served:kill()
  for _, suffix in ipairs { "", "-wal", "-shm" } do
    os.remove(self.served.state_dir .. "/bpfd.db" .. suffix)
  end
end

-- A daemon that dies where a load's chain is pinned and not yet in force.
local function with_an_attempt(self)
  self:die_in(function()
    return self:load(programs.of("xdp", 15))
  end, "bpf 29") -- BPF_LINK_UPDATE
end

describe("with a fault in it,", function()
  walk.declare(_ENV, {
    { name = "a start", lay = lay, before = stop, run = start, after = remove_set_aside,
      at_start = true,
      also = { "statfs", "opendir", "readdir", "lstat", "setsockopt", "recvmsg", "sendmsg",
        "bpf 7" } },
    { name = "a start without its database", lay = lay, before = without_database, run = start,
      at_start = true, after = remove_set_aside },
    { name = "a start after a daemon that was killed in its midst", lay = lay,
      before = with_an_attempt, run = start, at_start = true, after = remove_set_aside },
  })
end)

describe("a start that cannot ask for the mode of an XDP program", function()
  local self

  setup(function() self = walk.start() end)
  teardown(function() self:close() end)

  it("tells the mode that is known", function()
    assert(self:load(programs.of("xdp", 10)))
    local at = 0
    repeat
      at = at + 1
      stop(self)
      self.faults:arm("fail", { at = at, only = "recvmsg" })
      local good <const> = start(self)
      local fired <const> = self.faults:disarm().fired
      if good then assert.equal("native", self:listed()[1].attach.xdp_mode, at) end
    until good and not fired
    assert.is_true(at > 2)
  end)
end)
