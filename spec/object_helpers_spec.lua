local bpf = require "bpf"

local BUILD <const> = os.getenv "BUILD" or "build"

local function helpers_of(file, program)
  local object <close> = assert(bpf.object.open(("%s/objects/%s.o"):format(BUILD, file)))
  return object:helpers(program)
end

describe("the helpers of a program that is not loaded", function()
  it("are those that its instructions call", function()
    assert.same({ "bpf_map_lookup_elem" }, helpers_of("daemon", "count_xdp"))
    assert.same({ "bpf_get_prandom_u32" }, helpers_of("daemon", "takes_long"))
    assert.same({}, helpers_of("return_only", "return_only"))
  end)

  it("are not those of its neighbours, in other sections or among the subprograms", function()
    assert.same({}, helpers_of("chain_xdp", "plain"))
    assert.same({ "bpf_loop" }, helpers_of("chain_xdp", "loop"))
    assert.same({ "bpf_ringbuf_reserve", "bpf_ringbuf_submit" }, helpers_of("chain_xdp", "submit"))
  end)

  it("are also those of subprograms and callbacks that it reaches", function()
    assert.same({ "bpf_tail_call" }, helpers_of("chain_xdp", "tail_below"))
    assert.same({ "bpf_map_lookup_elem", "bpf_timer_init", "bpf_timer_set_callback",
      "bpf_timer_start" }, helpers_of("chain_xdp", "timer"))
  end)

  it("are of a program that is there", function()
    assert.has_error(function() helpers_of("daemon", "nothing") end)
  end)
end)
