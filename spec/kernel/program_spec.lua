require "spec.support.root"

local bpf = require "bpf"
local process = require "spec.support.process"

local path <const> = os.getenv "BUILD" .. "/objects/handles_counter.o"

local function loaded()
  local object = assert(bpf.object.open(path))
  assert(object:choose { "count", "accept", "probe" })
  assert(object:load())
  return object
end

describe("a program", function()
  it("is told by the kernel under bpftool's keys", function()
    local before <const> = os.time()
    local object <close> = loaded()
    local info = assert(object.programs.accept:info())
    assert.equal("accept", info.name)
    assert.equal("tc", info.type)
    assert.equal(16, #info.tag)
    assert.is_true(info.gpl_compatible)
    assert.is_true(info.loaded_at >= before - 1 and info.loaded_at <= os.time() + 1)
    assert.equal(info.loaded_at, info.loaded_at_ns // 1000000000)
    assert.equal(object.maps[".rodata"]:info().id, info.map_ids[1])
    local shown = process.check { "bpftool", "-j", "prog", "show", "id", tostring(info.id) }
    for _, key in ipairs { "bytes_xlated", "bytes_jited", "bytes_memlock", "btf_id" } do
      assert.equal(shown:match(('"%s":(%%d+)'):format(key)), tostring(info[key]), key)
    end
    assert.matches(('"tag":"%s"'):format(info.tag), shown)
    assert.is_true(info.verified_insns > 0)
    assert.equal("kprobe", object.programs.probe:info().type)
  end)

  it("is found by id, and among all on the system", function()
    local object <close> = loaded()
    local id <const> = object.programs.count:info().id
    local found = false
    local last = 0
    for each in bpf.program.each() do
      assert.is_true(each > last)
      last = each
      found = found or each == id
    end
    assert.is_true(found)
    local again <close> = assert(bpf.program.open_id(id))
    assert.equal(object.programs.count:info().tag, again:info().tag)
    local none, err = bpf.program.open_id(0xfffffff0)
    assert.is_nil(none)
    assert.equal("ENOENT", err.code)
    assert.equal("there is no program with id 4294967280", err.message)
    assert.has_error(function() bpf.program.open_id(-1) end)
  end)

  it("runs on a packet of ours and tells verdict, packet and time", function()
    local object <close> = loaded()
    local packet <const> = ("abcdefgh"):rep(10)
    local result = assert(object.programs.count:test_run { data = packet, ["repeat"] = 100 })
    assert.equal(1, result.verdict)
    assert.equal(packet, result.data)
    assert.equal("integer", math.type(result.duration))
    local none, err = object.programs.count:test_run { data = "short" }
    assert.is_nil(none)
    assert.equal("EINVAL", err.code)
  end)

  it("holds a map that is bound to it", function()
    local object <close> = loaded()
    local program = object.programs.count
    local map = assert(bpf.map.blob("what is remembered", "note"))
    local id <const> = map:info().id
    assert(program:bind_map(map))
    map:close()
    local bound = false
    for _, each in ipairs(program:info().map_ids) do bound = bound or each == id end
    assert.is_true(bound)
    local again <close> = assert(bpf.map.open_id(id))
    assert.equal("what is remembered", again:blob())
  end)

  it("closes once, by any road, and says so when it is used afterwards", function()
    local object <close> = loaded()
    local id <const> = object.programs.count:info().id
    local program = assert(bpf.program.open_id(id))
    program:close()
    program:close()
    local ok, message = pcall(program.info, program)
    assert.is_false(ok)
    assert.matches("program is closed", message)
  end)
end)
