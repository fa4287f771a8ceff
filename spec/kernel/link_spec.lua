require "spec.support.root"

local bpf = require "bpf"
local core = require "bpf.core"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local uv = require "luv"

local path <const> = os.getenv "BUILD" .. "/objects/handles_counter.o"

-- A copy that nobody else maps: a probe stands in the file, and one between the bytes of an
-- instruction kills whoever runs there.
local function copy_libc(directory)
  for line in io.lines "/proc/self/maps" do
    local found = line:match "(/%S*/libc%.so%.6)$"
    if found then
      process.check { "cp", found, directory }
      return directory .. "/libc.so.6"
    end
  end
  error "this process has no libc"
end

local function refused(code, pattern, link, err)
  assert.is_nil(link)
  assert.matches(pattern, err.message)
  assert.equal(code, err.code)
end

describe("a link", function()
  local object, programs, directory, target

  setup(function()
    directory = assert(uv.fs_mkdtemp "/tmp/bpfd-spec-XXXXXX")
    target = copy_libc(directory)
  end)

  teardown(function()
    os.remove(target)
    uv.fs_rmdir(directory)
  end)

  before_each(function()
    object = assert(bpf.object.open(path))
    assert(object:as("odd", "xdp"))
    assert(object:load())
    programs = object.programs
  end)

  after_each(function() object:close() end)

  it("runs a program at a tracepoint", function()
    local data = assert(object.maps[".data"]:typed())
    local before <const> = data:get(0).seen
    local link <close> = assert(bpf.link.tracepoint(programs.trace,
      { category = "syscalls", name = "sys_enter_openat" }))
    io.open("/dev/null"):close()
    assert.is_true(data:get(0).seen > before)
    assert.equal(programs.trace:info().id, link:info().prog_id)
    assert.equal("perf_event", link:info().type)
    local found = false
    for id in bpf.link.each() do found = found or id == link:info().id end
    assert.is_true(found)
    local again <close> = assert(bpf.link.open_id(link:info().id))
    assert.equal(link:info().id, again:info().id)
  end)

  it("says which part of a tracepoint's name is wrong", function()
    local function try(category, name)
      return bpf.link.tracepoint(programs.trace, { category = category, name = name })
    end
    refused("ENOENT", "no tracepoint nothing in category syscalls", try("syscalls", "nothing"))
    refused("ENOENT", "no tracepoint category nowhere", try("nowhere", "nothing"))
    refused("EINVAL", "is no tracepoint's name", try("..", "events"))
    refused("EINVAL", "is no tracepoint's name", try("syscalls", "../sched/sched_switch"))
    refused("ENOENT", "no raw tracepoint nothing",
      bpf.link.raw_tracepoint(programs.raw, { name = "nothing" }))
    refused("EINVAL", "is none for raw tracepoints",
      bpf.link.raw_tracepoint(programs.trace, { name = "sched_switch" }))
    local link <close> = assert(bpf.link.raw_tracepoint(programs.raw, { name = "sched_switch" }))
    assert.equal("raw_tracepoint", link:info().type)
  end)

  it("probes functions of the kernel, or says that this one has no kprobes", function()
    local link, err = bpf.link.kprobe(programs.probe, { fn_name = "try_to_wake_up" })
    if not link then
      assert.matches("^this kernel has no kprobes", err.message)
      return
    end
    link:close()
    refused("ENOENT", "no function no_such_function",
      bpf.link.kprobe(programs.probe, { fn_name = "no_such_function" }))
  end)

  it("probes functions of a library, by either end and by offset", function()
    for _, options in ipairs {
      { fn_name = "malloc" }, { fn_name = "malloc", retprobe = true }, { offset = 0x30000 },
      { fn_name = "malloc", offset = 4 }, { fn_name = "malloc", pid = uv.os_getpid() },
    } do
      options.path = target
      local link <close> = assert(bpf.link.uprobe(programs.probe, options))
      assert.equal("perf_event", link:info().type)
    end
    local descriptor <close> = assert(core.system.open(target))
    local link <close> = assert(bpf.link.uprobe(programs.probe,
      { path = "/proc/self/fd/" .. descriptor:fd(), fn_name = "malloc" }))
    assert(link:info())
  end)

  it("runs a program when the probed function is called", function()
    local data = assert(object.maps[".data"]:typed())
    local before <const> = data:get(0).seen
    local link <close> =
      assert(bpf.link.uprobe(programs.probe, { path = target, fn_name = "exit" }))
    assert(link:info())
    process.check({ "/bin/true" }, { env = { LD_LIBRARY_PATH = directory } })
    assert.equal(before + 1, data:get(0).seen)
  end)

  it("says why a function of a library cannot be probed", function()
    local function try(options) return bpf.link.uprobe(programs.probe, options) end
    refused("ENOENT", "has no function mallox", try { path = target, fn_name = "mallox" })
    refused("ENOENT", "No such file", try { path = "/nowhere", fn_name = "malloc" })
    refused("ENOEXEC", "is not an ELF file", try { path = "/etc/passwd", fn_name = "malloc" })
    refused("EINVAL", "is not a regular file", try { path = "/tmp", fn_name = "malloc" })
    refused("EINVAL", "behind the end", try { path = target, offset = 1 << 40 })
    refused("ESRCH", "no process 99999999",
      try { path = target, fn_name = "malloc", pid = 99999999 })
    refused("EINVAL", "a return probe takes no offset",
      try { path = target, fn_name = "malloc", offset = 4, retprobe = true })
    assert.has_error(function() try { path = target } end)
    assert.has_error(function() try { path = target, fn_name = "malloc", symbol = "x" } end)
  end)

  it("warns when it is collected live, and not when it was closed or pinned", function()
    local script <const> = [[
      warn "@on"
      local bpf = require "bpf"
      local object = assert(bpf.object.open(...))
      assert(object:choose "trace")
      assert(object:load())
      local function attach()
        return assert(bpf.link.tracepoint(object.programs.trace,
          { category = "syscalls", name = "sys_enter_openat" }))
      end
      attach():close()
      do local link <close> = attach() end
      collectgarbage()
      io.stderr:write "quiet so far\n"
      attach()
      collectgarbage()
    ]]
    local told = process.run({ "lua5.4", "-", path }, { stdin = script })
    assert.equal(0, told.exit, told.stderr)
    assert.matches("^quiet so far\nLua warning: bpf: link %d+ %(program %d+%) was collected",
      told.stderr)
  end)
end)

-- Entering a namespace is for ever, so it is done in children.
describe("a link on an interface", function()
  local prelude <const> = [[
    local bpf = require "bpf"
    local core = require "bpf.core"
    local path, place = ...
    local object = assert(bpf.object.open(path))
    assert(object:as("odd", "xdp"))
    assert(object:load())
    local programs = object.programs
    local descriptor <close> = assert(core.system.open(place))
    assert(bpf.network.enter(descriptor:fd()))
    local ifindex <const> = assert(bpf.network.index "near")
  ]]

  local function inside(script)
    local here <close> = namespace.new()
    here:check { "ip", "link", "add", "near", "type", "veth", "peer", "name", "far" }
    here:check { "ip", "link", "set", "near", "up" }
    local told = process.run({ "lua5.4", "-", path, here.path }, { stdin = prelude .. script })
    assert.equal(0, told.exit, told.stderr)
  end

  it("runs XDP in the mode asked for, and is updated only if it runs what is expected", function()
    inside [[
      assert(bpf.network.xdp(ifindex) == nil)
      for _, mode in ipairs { "native", "generic" } do
        local link <close> = assert(bpf.link.xdp(programs.count, ifindex, mode))
        local running = assert(bpf.network.xdp(ifindex))
        assert(running.prog_id == programs.count:info().id and running.mode == mode)
        local second, err = bpf.link.xdp(programs.odd, ifindex, mode)
        assert(not second and err.message == "a program is attached to XDP there already")
        local ok
        ok, err = link:update(programs.odd, programs.odd)
        assert(not ok and err.code == "ESTALE", err.code)
        assert(link:update(programs.odd, programs.count))
        assert(link:info().prog_id == programs.odd:info().id)
        assert(link:info().ifindex == ifindex and not link:info().severed)
        assert(link:detach())
        assert(bpf.network.xdp(ifindex) == nil)
      end
    ]]
  end)

  it("runs under TCX in the place asked for, and outlives the interface severed", function()
    inside [[
      local ids, err = bpf.network.tcx(ifindex, "egress")
      if not ids then
        assert(err.message:find "no TCX")
        return
      end
      local other = assert(bpf.object.open(path))
      assert(other:choose "accept")
      assert(other:load())
      local mine <const> = programs.accept:info().id
      local theirs <const> = other.programs.accept:info().id
      local link <close> = assert(bpf.link.tcx(programs.accept, ifindex, "egress"))
      assert(link:info().direction == "egress" and link:info().type == "tcx")
      local first <close> =
        assert(bpf.link.tcx(other.programs.accept, ifindex, "egress", { before = mine }))
      ids = assert(bpf.network.tcx(ifindex, "egress"))
      assert(#ids == 2 and ids[1] == theirs and ids[2] == mine)
      assert(#bpf.network.tcx(ifindex, "ingress") == 0)
      local none
      none, err = bpf.link.tcx(programs.accept, ifindex, "ingress", { after = mine })
      assert(not none and err.code == "ENOENT", err.message)
      none, err = bpf.link.tcx(programs.accept, 99999, "ingress")
      assert(not none and err.message == "there is no interface 99999")
      assert(os.execute "ip link del near")
      assert(link:info().severed and link:info().ifindex == 0)
      none, err = link:update(other.programs.accept)
      assert(not none and err.code == "ENOLINK")
    ]]
  end)
end)
