require "spec.support.root"

local bpf = require "bpf"
local error_object = require "bpf.error"
local files = require "spec.support.files"
local process = require "spec.support.process"
local uv = require "luv"

local function built(name) return ("%s/objects/%s.o"):format(os.getenv "BUILD", name) end

local function verdict(program)
  return assert(program:test_run { data = ("\0"):rep(64) }).verdict
end

describe("an object", function()
  it("tells its programs, maps and globals before it is loaded", function()
    local object <close> = assert(bpf.object.open(built "handles_counter"))
    assert.equal("xdp", object.programs.count.type)
    assert.equal("tc", object.programs.accept.type)
    assert.equal("kprobe", object.programs.probe.type)
    assert.is_nil(object.programs.odd.type)
    assert.equal("somebody_elses_name", object.programs.odd.section)
    assert.equal("hash", object.maps.tallies.type)
    assert.equal(32, object.maps.tallies.value_size)
    assert.is_true(object.maps[".rodata"].is_data_section)
    assert.same({ size = 4, section = ".rodata" }, object:globals().LIMIT)
    assert.equal("Dual MIT/GPL", object.license)
    assert.has_error(function() object.programs.count:info() end)
  end)

  it("loads only what is chosen, each program under its whole name", function()
    local object <close> = assert(bpf.object.open(built "handles_counter"))
    assert(object:choose { "count" })
    assert(object:load())
    assert.equal("count", object.programs.count:info().name)
    assert.has_error(function() object.programs.accept:info() end)
    assert.equal(1, verdict(object.programs.count))
  end)

  it("opens from a path, a descriptor and memory alike", function()
    local path <const> = built "handles_counter"
    local fd = assert(uv.fs_open(path, "r", 0))
    for _, source in ipairs { path, { fd = fd }, { data = files.read(path) } } do
      local object <close> = assert(bpf.object.open(source, { name = "mine" }))
      assert.equal("mine", object.name)
      assert(object:choose "count")
      assert(object:load())
    end
    assert.equal("\127ELF", uv.fs_read(fd, 4)) -- nobody moved its offset
    uv.fs_close(fd)
  end)

  it("takes programs of sections that nobody knows as what they are said to be", function()
    local object <close> = assert(bpf.object.open(built "handles_counter"))
    local ok, err = object:load()
    assert.is_nil(ok)
    assert.matches("section somebody_elses_name does not tell what kind of program odd is",
      err.message)
    assert(object:as("odd", "xdp"))
    assert.equal("xdp", object.programs.odd.type)
    assert(object:as("accept", "tc"))
    assert(object:load())
    assert.equal(2, verdict(object.programs.odd))
  end)

  it("refuses a kind that contradicts the section", function()
    local object <close> = assert(bpf.object.open(built "handles_counter"))
    local ok, err = object:as("probe", "xdp")
    assert.is_nil(ok)
    assert.equal("probe is a kprobe program (section kprobe/try_to_wake_up), not xdp", err.message)
    ok, err = object:as("count", "tc")
    assert.is_nil(ok)
    assert.matches("^count is an xdp program %(section xdp", err.message)
    assert.is_nil(object:as("trace", "kprobe"))
    local refused <close> = assert(bpf.object.open(built "handles_refused"))
    ok, err = refused:as("behind_redirect", "xdp")
    assert.is_nil(ok)
    assert.matches("behind_redirect is an XDP devmap program", err.message)
    ok, err = refused:as("entered", "fexit")
    assert.is_nil(ok)
    assert.matches("entered is a fentry program", err.message)
  end)

  it("sets globals in every section, before the load and by their exact size", function()
    local object <close> = assert(bpf.object.open(built "handles_counter"))
    assert(object:set_global("LIMIT", ("=I4"):pack(20)))
    assert(object:set_global("TUNED", ("=I4"):pack(77)))
    assert(object:set_global("seen", ("=I8"):pack(1000)))
    assert(object:set_global("scratch", ("=I8"):pack(3)))
    local ok, err = object:set_global("LIMIT", "\1\2")
    assert.is_nil(ok)
    assert.equal("global LIMIT has 4 bytes, not 2", err.message)
    ok, err = object:set_global("LIMITS", "\1\2")
    assert.is_nil(ok)
    assert.equal("ENOENT", err.code)
    assert.matches("did you mean LIMIT", err.advice)
    assert(object:choose "count")
    assert(object:load())
    local key <const> = ("=I4"):pack(77)
    assert(object.maps.tallies:update(key, ("\0"):rep(32)))
    assert.equal(2, verdict(object.programs.count)) -- LIMIT is above 10
    assert.equal(1, ("=I8"):unpack(object.maps.tallies:lookup(key)))
    assert.equal(1001, ("=I8"):unpack(object.maps[".data"]:lookup(("\0"):rep(4))))
    ok, err = object:set_global("LIMIT", ("=I4"):pack(1))
    assert.is_nil(ok)
    assert.equal("EBUSY", err.code)
  end)

  it("does all that without BTF", function()
    local path = os.tmpname()
    process.check { "clang", "-O2", "-target", "bpf", "-c", "-o", path,
      "spec/objects/handles_plain.c" }
    local object <close> = assert(bpf.object.open(path))
    os.remove(path)
    assert.is_nil(object:btf_bytes())
    assert(object:as("plain", "xdp"))
    assert(object:set_global("ANSWER", ("=I4"):pack(3)))
    assert(object:load())
    assert.equal(3, verdict(object.programs.plain))
  end)

  it("fills its program arrays with siblings that nobody chose", function()
    local object <close> = assert(bpf.object.open(built "handles_slots"))
    assert(object:choose "first")
    assert(object:as("first", "xdp"))
    assert(object:load())
    assert.equal(3, verdict(object.programs.first))
    assert.has_error(function() object.programs.bystander:fd() end)
  end)

  it("shows the verifier's log, and can be changed and loaded again", function()
    local object <close> = assert(bpf.object.open(built "handles_refused"))
    assert(object:choose "out_of_bounds")
    local ok, err = object:load()
    assert.is_nil(ok)
    assert.is_true(error_object.is(err))
    assert.equal("EACCES", err.code)
    assert.equal("the verifier refused out_of_bounds", err.message)
    assert.matches("loading .*handles_refused.o: the verifier", tostring(err))
    assert.matches("invalid access to packet", err.log)
    assert.not_matches("libbpf", err.log)
    assert.is_nil(object:load())
    local other <close> = assert(bpf.object.open(built "handles_refused"))
    assert(other:choose "fragments")
    assert(other:load())
  end)

  it("says in libbpf's words what failed before the verifier", function()
    local object <close> = assert(bpf.object.open(built "handles_bad_map"))
    local ok, err = object:load()
    assert.is_nil(ok)
    assert.equal("EINVAL", err.code)
    assert.matches("odd_key", err.message)
    assert.matches("odd_key", err.log)
  end)

  it("names the reason where the kernel forbids a type", function()
    local object <close> = assert(bpf.object.open(built "handles_refused"))
    assert(object:choose "entered")
    local ok, err = object:load()
    if ok then return pending "this kernel allows fentry programs" end
    if err.code == "EPERM" then
      assert.matches("forbids tracing %(fentry, fexit%) programs", err.message)
    else
      assert.matches("bpf_fentry_test1", err.message .. (err.log or ""))
    end
  end)

  it("shares a map only of the same shape, and names both shapes otherwise", function()
    local shape = { type = "hash", name = "tallies", key_size = 4, value_size = 32,
      max_entries = 64 }
    local shared <close> = assert(bpf.map.create(shape))
    local object <close> = assert(bpf.object.open(built "handles_counter"))
    assert(object:choose "count")
    assert(object:reuse_map("tallies", shared))
    shape.max_entries = 65
    local odd <close> = assert(bpf.map.create(shape))
    local ok, err = object:reuse_map("tallies", odd)
    assert.is_nil(ok)
    assert.equal("map tallies is (hash, key 4, value 32, max_entries 64, flags 0); "
      .. "the one to share is (hash, key 4, value 32, max_entries 65, flags 0)", err.message)
    assert(object:load())
    assert.equal(shared:info().id, object.maps.tallies:info().id)
  end)

  it("never pins by name behind our back", function()
    local first <close> = assert(bpf.object.open(built "handles_counter"))
    local second <close> = assert(bpf.object.open(built "handles_counter"))
    for _, object in ipairs { first, second } do
      assert(object:choose "count")
      assert(object:load())
    end
    assert.not_equal(first.maps.tallies:info().id, second.maps.tallies:info().id)
    assert.is_nil(uv.fs_stat "/sys/fs/bpf/tallies")
  end)

  it("prepares XDP and TC programs, and says the verifier's statistics", function()
    local object <close> = assert(bpf.object.open(built "handles_counter"))
    assert(object:choose { "count", "trace" })
    assert(object:load())
    assert.is_truthy(object:prepared "count")
    assert.is_nil(object:prepared "trace")
    assert.is_nil(object:prepared "odd")
    assert.matches("stack depth %a*%s*%d+", object:log "count")
    local verbose <close> = assert(bpf.object.open(built "handles_counter"))
    assert(verbose:choose "count")
    assert(verbose:load { verbosity = 2 })
    assert.matches("exit", verbose:log "count")
  end)

  it("keeps its programs' and maps' handles when it is closed", function()
    local object = assert(bpf.object.open(built "handles_counter"))
    assert(object:choose "count")
    assert(object:load())
    local program, map = object.programs.count, object.maps.tallies
    object:close()
    object:close()
    assert.equal("count", program:info().name)
    assert.equal("tallies", map:info().name)
    assert.has_error(function() object:load() end)
    program:close()
    map:close()
  end)

  it("refuses what is no object, and says what it is instead", function()
    local directory = assert(uv.fs_mkdtemp "/tmp/bpfd-spec-XXXXXX")
    local function refused(source, pattern, options)
      local object, err = bpf.object.open(source, options)
      assert.is_nil(object)
      assert.matches(pattern, err.message)
    end
    local whole <const> = files.read(built "handles_counter")
    process.check { "mkfifo", directory .. "/fifo" }
    refused(directory, "is a directory")
    refused(directory .. "/fifo", "is a FIFO")
    refused(directory .. "/none", "No such file")
    refused("/dev/null", "is a device")
    refused("/etc/passwd", "is not an ELF file")
    refused("/proc/self/exe", "for another machine %(%d+%)")
    refused({ data = "" }, "is empty")
    refused({ data = whole:sub(1, 40) }, "truncated: its ELF header")
    refused({ data = whole:sub(1, #whole // 2) }, "truncated: its section table")
    refused({ data = whole:sub(1, -2) }, "truncated")
    refused({ data = "\127ELF\2" .. (string.pack("=I2", 1):byte() == 1 and "\2" or "\1")
      .. whole:sub(7) }, "%w+%-endian and this machine is %w+%-endian")
    refused({ data = "\127ELF\1" .. whole:sub(6) }, "32%-bit")
    refused({ data = whole }, "more than the limit of 100", { limit = 100 })
    uv.fs_unlink(directory .. "/fifo")
    uv.fs_rmdir(directory)
  end)

  it("refuses one whose names are in a section that is none, wherever that lies", function()
    local whole <const> = files.read(built "handles_slots")
    local at <const> = ("=I8"):unpack(whole, 0x28 + 1) + ("=I2"):unpack(whole, 0x3e + 1) * 64
    local object, err = bpf.object.open { data = whole:sub(1, at + 4) .. ("=I4"):pack(0)
      .. whole:sub(at + 9, at + 24) .. ("=i8"):pack(-1) .. whole:sub(at + 33) }
    assert.is_nil(object)
    assert.equal("object is damaged: it names no sections", err.message)
  end)

  it("refuses one whose instructions lie between the places of instructions", function()
    local whole <const> = files.read(built "handles_slots")
    local table_at <const>, count <const> = ("=I8"):unpack(whole, 0x28 + 1),
      ("=I2"):unpack(whole, 0x3c + 1)
    local at, place = table_at, 0
    while ("=I8"):unpack(whole, at + 9) & 4 == 0 do at, place = at + 64, place + 1 end -- executable
    assert(place < count)
    local object, err = bpf.object.open { data = whole:sub(1, at + 24)
      .. ("=I8"):pack(("=I8"):unpack(whole, at + 25) - 2) .. whole:sub(at + 33) }
    assert.is_nil(object)
    assert.equal(("object is damaged in section %d"):format(place), err.message)
  end)

  it("survives every truncation and many a flipped byte", function()
    local whole <const> = files.read(built "handles_slots")
    for length = 1, #whole, 97 do
      local object <close> = bpf.object.open { data = whole:sub(1, length) }
      assert.is_nil(object)
    end
    for place = 1, #whole, 61 do
      local byte <const> = whole:byte(place) ~ 0x41
      local damaged = whole:sub(1, place - 1) .. string.char(byte) .. whole:sub(place + 1)
      local object <close> = bpf.object.open { data = damaged }
      if object then object:globals() end
    end
  end)

  it("leaves no descriptor behind, whatever happened", function()
    local function count()
      collectgarbage()
      collectgarbage()
      local scan, number = uv.fs_scandir "/proc/self/fd", 0
      while uv.fs_scandir_next(scan) do number = number + 1 end
      return number
    end
    local before <const> = count()
    for _, name in ipairs { "handles_counter", "handles_refused", "handles_bad_map" } do
      local object = assert(bpf.object.open(built(name)))
      object:load()
    end
    bpf.object.open(built "none")
    assert.equal(before, count())
  end)
end)
