-- Programs on functions of executables and libraries: every call counted, once by each.
local uv = require "luv"
local bpf = require "bpf"
local host = require "spec.support.host"
local library = require "bpf.library"
local probe = require "spec.support.probe"
local process = require "spec.support.process"

local function libc() return assert(uv.fs_realpath(assert(library.find "libc"))) end

local function rows(kind, target, more)
  more = more or {}
  return {
    { "Probe Type", kind }, { "Function Name", more.fn_name or "getpriority" },
    { "Offset", more.offset or "0" }, { "Target", target }, { "PID", more.pid or "None" },
    { "Container PID", more.container_pid or "None" },
  }
end

describe("a program that traces processes", function()
  local bpfd <const> = host.daemon_for_all()
  local assert_unchanged <const> = host.leaves_nothing(bpfd, probe.close_all)

  local function load(name, words, options)
    return probe.load(bpfd, name, { "uprobe", table.unpack(words) }, options)
  end

  local function assert_prints(one, wanted)
    assert.equal(one:expected(wanted), one.printed)
    assert.equal(one.printed, bpfd:check("get", one.id))
  end

  -- where the code of a function begins in a library's file
  local function file_offset(path, name)
    local symbols = process.check { "readelf", "--dyn-syms", "--wide", path }
    local pattern = "(%x+) +%d+ FUNC +%a+ +DEFAULT +%d+ " .. name .. "[@\n]"
    local address = tonumber(symbols:match(pattern), 16)
    for line in process.check({ "readelf", "--program-headers", "--wide", path }):gmatch "[^\n]+" do
      local offset, start, size = line:match "LOAD +0x(%x+) 0x(%x+) 0x%x+ 0x(%x+) 0x%x+ R E"
      if offset then
        offset, start, size = tonumber(offset, 16), tonumber(start, 16), tonumber(size, 16)
        if address >= start and address < start + size then return address - start + offset end
      end
    end
  end

  it("counts exactly, in a library that its name finds", function()
    local one = load("on_uprobe", { "-f", "getpriority", "-t", "libc" })
    assert_prints(one, rows("uprobe", "libc"))
    assert.matches("\n " .. one.id .. " +on_uprobe +uprobe  ", bpfd:check "list")
    assert.equal(0, one:events())
    probe.trigger(50)
    assert.equal(50, one:events())
    one:unload()
    probe.trigger(5)
    assert.equal(50, one:events())
  end)

  it("counts returns, in a file that a path names", function()
    local path = libc()
    local one = load("on_uretprobe", { "-f", "getpriority", "-t", path, "-r" })
    assert_prints(one, rows("uretprobe", path))
    probe.trigger(20)
    assert.equal(20, one:events())
  end)

  it("stands at an offset of the file, also where a function has no name", function()
    local path = libc()
    local place = file_offset(path, "getpriority")
    local entry = load("on_uprobe", { "-o", tostring(place), "-t", path })
    local exit = load("on_uretprobe", { "--offset", ("0x%x"):format(place), "-t", "libc", "-r" })
    assert_prints(entry, rows("uprobe", path, { fn_name = "None", offset = tostring(place) }))
    assert_prints(exit, rows("uretprobe", "libc", { fn_name = "None", offset = tostring(place) }))
    probe.trigger(20)
    assert.same({ 20, 20 }, { entry:events(), exit:events() })
  end)

  it("is loaded whatever its section is called", function()
    local one = load("on_anything", { "-f", "getpriority", "-t", "libc" })
    probe.trigger(3)
    assert.equal(3, one:events())
  end)

  it("sees one process alone with --pid, in all of its threads", function()
    local other = process.start { "lua5.4", "-e", [[
      local uv = require "luv"
      while true do uv.os_getpriority(0) uv.sleep(1) end]] }
    local pid = tostring(probe.pid)
    local mine = load("on_uprobe", { "-f", "getpriority", "-t", "libc", "--pid", pid }, { pid = 0 })
    local its = load("on_uprobe",
      { "-f", "getpriority", "-t", "libc", "-p", tostring(other.pid) }, { pid = 0 })
    assert_prints(mine, rows("uprobe", "libc", { pid = pid }))
    probe.trigger(10)
    local thread = uv.new_thread(function()
      for _ = 1, 15 do require "luv".os_getpriority(0) end
    end)
    thread:join()
    assert.equal(25, mine:events())
    assert.is_truthy(process.eventually(function() return its:events() > 10 end))
    other:signal "sigkill"
    other:wait()
    local final = its:events()
    probe.trigger(5)
    assert.same({ 30, final }, { mine:events(), its:events() })
    bpfd:kill()
    bpfd:restart() -- one probe's process is no more
    probe.trigger(5)
    assert.same({ 35, final }, { mine:events(), its:events() })
    assert.equal(its.printed, bpfd:check("get", its.id))
  end)

  it("runs beside others on the same function, and on after a crash of the daemon", function()
    local all = {
      load("on_uprobe", { "-f", "getpriority", "-t", "libc" }),
      load("on_uprobe", { "-f", "getpriority", "-t", "libc" }),
      load("on_uretprobe", { "-f", "getpriority", "-t", "libc", "-r" }),
      load("on_anything", { "-f", "getpriority", "-t", "libc", "--pid", tostring(probe.pid) }),
    }
    local function assert_counts(wanted)
      for _, one in ipairs(all) do assert.equal(wanted, one:events()) end
    end
    probe.trigger(20)
    assert_counts(20)
    bpfd:kill()
    probe.trigger(20)
    assert_counts(40)
    bpfd:restart()
    probe.trigger(10)
    assert_counts(50)
    for _, one in ipairs(all) do assert.equal(one.printed, bpfd:check("get", one.id)) end
    all[2]:unload()
    probe.trigger(5)
    assert.equal(50, table.remove(all, 2):events())
    assert_counts(55)
  end)

  local function assert_refused(pattern, ...)
    local result = bpfd:bpfctl(table.unpack((probe.line("on_uprobe", { "uprobe", ... }, {}))))
    assert.equal(1, result.exit, result.stderr)
    assert.equal("", result.stdout)
    assert.matches("^bpfctl: [^\n]*" .. pattern .. "\n$", result.stderr)
    assert.is_nil(result.stderr:find("/proc/self", 1, true))
    assert_unchanged()
  end

  it("is refused where its target is missing, or is none", function()
    assert_refused("no library libnosuch in /etc/ld.so.cache.*", "-f", "x", "-t", "libnosuch")
    assert_refused("cannot open /no/such/file: No such file or directory",
      "-f", "x", "-t", "/no/such/file")
    assert_refused("/etc/passwd is not an ELF file", "-f", "x", "-t", "/etc/passwd")
    assert_refused("/etc/passwd is not an ELF file", "-o", "0", "-t", "/etc/passwd")
    assert_refused("/tmp is a directory, not a program or library", "-f", "x", "-t", "/tmp")
  end)

  it("is refused where its place is missing, or is no code", function()
    assert_refused("libc has no function no_such_function", "-f", "no_such_function", "-t", "libc")
    assert_refused("there is no code at offset 5 of libc", "-o", "5", "-t", "libc")
    assert_refused("offset 99999999999 lies behind the end of libc",
      "-o", "99999999999", "-t", "libc")
    assert_refused("offset 4096 lies behind the end of getpriority in libc, which has %d+ bytes",
      "-f", "getpriority", "-o", "4096", "-t", "libc")
    local inside = 1
    while bpf.link.locate { path = libc(), fn_name = "getpriority", offset = inside } do
      inside = inside + 1
    end
    assert_refused(("offset %d of getpriority in libc lies inside an instruction: they begin at \z
      %%d+ and at %%d+ there"):format(inside),
      "-f", "getpriority", "-o", tostring(inside), "-t", "libc")
    assert_refused("memcpy in libc stands for one of several functions.*",
      "-f", "memcpy", "-t", "libc")
    local line = probe.line("on_uretprobe",
      { "uprobe", "-f", "getpriority", "-r", "-o", "4", "-t", "libc" }, {})
    local result = bpfd:bpfctl(table.unpack(line))
    assert.equal(64, result.exit)
    assert.matches("offset is not allowed with %-%-retprobe", result.stderr)
  end)

  it("is refused where its process has ended", function()
    local ended = process.start { "true" }
    ended:wait()
    assert_refused("there is no process " .. ended.pid,
      "-f", "getpriority", "-t", "libc", "--pid", tostring(ended.pid))
    assert_refused(("there is no process %d %%(container_pid%%) to look for libc with"):format(
      ended.pid), "-f", "getpriority", "-t", "libc", "--container-pid", tostring(ended.pid))
  end)
end)
