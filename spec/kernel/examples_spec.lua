-- Every example loads under the names that the guide gives, and does what its comments say.
local bpf = require "bpf"
local packet = require "spec.support.packet"

local EXAMPLES <const> = os.getenv "BUILD" .. "/examples/"
local XDP_DROP <const>, XDP_PASS <const> = 1, 2
local TC_ACT_OK <const>, TC_ACT_SHOT <const>, TC_ACT_PIPE <const> = 0, 2, 3

local function open(file, kinds)
  local object = assert(bpf.object.open(EXAMPLES .. file))
  for name, kind in pairs(kinds) do assert(object:as(name, kind)) end
  return object
end

local function verdict(program, data)
  return assert(program:test_run { data = data }).verdict
end

describe("the example", function()
  it("xdp_pass_kern.o passes all, and drops one port", function()
    local object <close> = open("xdp_pass_kern.o", { pass = "xdp", xdp = "xdp" })
    assert(object:set_global("DROP_PORT", string.pack("=I2", 7007)))
    assert(object:load())
    assert.are.equal(XDP_PASS, verdict(object.programs.pass, packet.udp(7007)))
    assert.are.equal(XDP_DROP, verdict(object.programs.xdp, packet.udp(7007)))
    assert.are.equal(XDP_PASS, verdict(object.programs.xdp, packet.udp(7008)))
    assert.are.equal(XDP_PASS, verdict(object.programs.xdp, ("\0"):rep(60)))
  end)

  it("filter.bpf.o drops and counts what is blocked", function()
    local object <close> = open("filter.bpf.o", { classifier = "tc" })
    assert(object:load())
    local blocked, address = object.maps.blocked, "\10\0\0\7"
    assert(blocked:update(address, string.pack("=I8", 0)))
    assert.are.equal(TC_ACT_SHOT, verdict(object.programs.classifier, packet.udp(1, 7)))
    assert.are.equal(TC_ACT_OK, verdict(object.programs.classifier, packet.udp(1, 8)))
    assert.are.equal(1, (string.unpack("=I8", assert(blocked:lookup(address)))))
  end)

  it("accept-all.o takes its globals", function()
    local object <close> = open("accept-all.o", { accept = "tc" })
    assert(object:set_global("GLOBAL_1", "\1\2\3\4"))
    assert(object:set_global("GLOBAL_2", "\10\11\12\13"))
    assert(object:load())
    assert.are.equal(TC_ACT_OK, verdict(object.programs.accept, packet.udp(1)))
  end)

  for _, case in ipairs {
    { "go-xdp-counter/bpf_bpfel.o", "xdp_stats", "xdp", "xdp_stats_map", XDP_PASS, XDP_PASS },
    { "go-tc-counter/bpf_bpfel.o", "stats", "tc", "tc_stats_map", 0, TC_ACT_PIPE },
  } do
    it(case[1] .. " counts packets and bytes", function()
      local object <close> = open(case[1], { [case[2]] = case[3] })
      assert(object:load())
      local data = packet.udp(1)
      local result = assert(object.programs[case[2]]:test_run { data = data, ["repeat"] = 5 })
      assert.are.equal(case[6], result.verdict)
      local packets, bytes = 0, 0
      for _, value in ipairs(assert(object.maps[case[4]]:lookup(string.pack("=I4", case[5])))) do
        local on_cpu, bytes_on_cpu = string.unpack("=I8I8", value)
        packets, bytes = packets + on_cpu, bytes + bytes_on_cpu
      end
      assert.are.equal(5, packets)
      assert.are.equal(5 * #data, bytes)
    end)
  end

  for file, kinds in pairs {
    ["sys_enter_openat.o"] = { sys_enter_openat = "tracepoint" },
    ["kprobe.o"] = { calls = "kprobe", returns = "kprobe" },
    ["uprobe.o"] = { requested = "uprobe", refused = "uprobe" },
  } do
    it(file .. " loads", function()
      local object <close> = open(file, kinds)
      assert(object:load())
    end)
  end
end)
