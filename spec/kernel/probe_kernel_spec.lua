-- Programs on tracepoints and on functions of the kernel: every event counted, once by each.
local host = require "spec.support.host"
local probe = require "spec.support.probe"
local process = require "spec.support.process"

describe("a program that traces the kernel", function()
  local bpfd <const> = host.daemon_for_all()
  local assert_unchanged <const> = host.leaves_nothing(bpfd, probe.close_all)
  local here
  setup(function() here = probe.kernel_function() end)

  local function load(...) return probe.load(bpfd, ...) end

  local function function_rows() return { { "Function Name", here } } end
  local function kprobe_rows(kind)
    return function()
      return { { "Probe Type", kind }, { "Function Name", here }, { "Offset", "0" } }
    end
  end

  local cases = {
    { "tracepoint", "on_tracepoint", { "-t", probe.tracepoint }, "tracepoint",
      function() return { { "Tracepoint", probe.tracepoint } } end },
    { "raw_tracepoint", "on_raw_tracepoint", { "-t", "sys_enter" }, "raw_tracepoint",
      function() return { { "Tracepoint", "sys_enter" } } end, { call = probe.call } },
    { "kprobe", "on_kprobe", { "-f", "HERE" }, "kprobe", kprobe_rows "kprobe" },
    { "kretprobe", "on_kretprobe", { "-f", "HERE", "-r" }, "kprobe", kprobe_rows "kretprobe" },
    { "fentry", "on_fentry", { "-f", "HERE" }, "fentry", function_rows },
    { "fexit", "on_fexit", { "-f", "HERE" }, "fexit", function_rows },
  }

  local function words_of(case)
    local words = { case[4] }
    for _, word in ipairs(case[3]) do words[#words + 1] = word == "HERE" and here or word end
    return words
  end

  for _, case in ipairs(cases) do
    it(("counts exactly what happens as %s #smoke"):format(case[1]), function()
      local reason = probe.missing(case[4])
      if reason then pending(reason) end
      local one = load(case[2], words_of(case), case[6])
      assert.equal(one:expected(case[5]()), one.printed)
      assert.equal(one.printed, bpfd:check("get", one.id))
      assert.matches(("\n %s +%s +%s  "):format(one.id, one.name, case[4]), bpfd:check "list")
      assert.equal(0, one:events())
      probe.trigger(50)
      assert.equal(50, one:events())
      one:unload()
      probe.trigger(7)
      assert.equal(50, one:events())
    end)

    it("is loaded as " .. case[1] .. " whatever its section is called", function()
      local reason = probe.missing(case[4])
      if reason then pending(reason) end
      local one = load("on_anything", words_of(case))
      probe.trigger(3)
      local seen <const> = one:events()
      if case[6] then assert.is_true(seen > 3) else assert.equal(3, seen) end
    end)
  end

  it("runs beside others on one function, and on after a crash of the daemon #smoke", function()
    local all = {}
    for _, case in ipairs(cases) do
      if not probe.missing(case[4]) then
        for _ = 1, 2 do all[#all + 1] = load(case[2], words_of(case), case[6]) end
      end
    end
    local function assert_counts(wanted)
      for _, one in ipairs(all) do assert.equal(wanted, one:events(), one.name) end
    end
    probe.trigger(20)
    assert_counts(20)
    local listed = bpfd:check("list", "-o", "json")
    bpfd:kill()
    probe.trigger(20)
    assert_counts(40)
    bpfd:restart()
    probe.trigger(10)
    assert_counts(50)
    assert.equal(listed, bpfd:check("list", "-o", "json"))
    for _, one in ipairs(all) do assert.equal(one.printed, bpfd:check("get", one.id)) end
    all[1]:unload()
    probe.trigger(5)
    assert.equal(50, table.remove(all, 1):events())
    assert_counts(55)
    for _, one in ipairs(all) do one:unload() end
    probe.trigger(5)
    assert_counts(55)
  end)

  -- a byte further is in the middle of an instruction; how long the first is, each kernel decides
  it("stands behind the start of a function where an instruction begins", function()
    local reason = probe.missing "kprobe"
    if reason then pending(reason) end
    local one, refused
    for offset = 1, 15 do
      local line = probe.line("on_kprobe", { "kprobe", "-f", here, "-o", tostring(offset) }, {})
      local result = bpfd:bpfctl(table.unpack(line))
      if result.exit == 0 then
        one = load("on_kprobe", { "kprobe", "-f", here, "--offset", tostring(offset) })
        assert.matches("\n Offset: +" .. offset .. "\n", one.printed)
        if refused then break end
      else
        refused = result.stderr
      end
    end
    assert.matches("offset %d+ of " .. here .. " is not where an instruction begins\n$", refused)
    probe.trigger(30)
    assert.equal(30, one:events())
  end)

  local function assert_refused(exit, pattern, name, ...)
    local result = bpfd:bpfctl(table.unpack((probe.line(name, { ... }, {}))))
    assert.equal(exit, result.exit, result.stderr)
    assert.equal("", result.stdout)
    assert.matches("^bpfctl: [^\n]*" .. pattern .. "[^\n]*\n", result.stderr)
    if exit == 1 then assert.matches("^[^\n]*\n$", result.stderr) end
    assert_unchanged()
  end

  it("is refused on a tracepoint that is not there", function()
    assert_refused(1, "no tracepoint sys_enter_nosuch in category syscalls", "on_tracepoint",
      "tracepoint", "-t", "syscalls/sys_enter_nosuch")
    assert_refused(1, "no tracepoint category nosuch", "on_tracepoint",
      "tracepoint", "-t", "nosuch/sys_enter_getpriority")
    assert_refused(64, "CATEGORY/NAME", "on_tracepoint", "tracepoint", "-t", "nosuch")
    assert_refused(1, "no raw tracepoint nosuch", "on_raw_tracepoint",
      "raw_tracepoint", "-t", "nosuch")
    assert_refused(64, "must be the tracepoint's name alone", "on_raw_tracepoint",
      "raw_tracepoint", "-t", "raw_syscalls/sys_enter")
    assert_refused(1, "no tracepoint's name", "on_tracepoint", "tracepoint", "-t", "../.")
  end)

  it("is refused as a kprobe where none can stand", function()
    assert_refused(64, "offset is not allowed with %-%-retprobe", "on_kretprobe",
      "kprobe", "-f", here, "-r", "-o", "4")
    assert_refused(64, "offset must be a number", "on_kprobe", "kprobe", "-f", here, "-o", "json")
    local reason = probe.missing "kprobe"
    if reason then
      assert_refused(1, "this kernel has no kprobes", "on_kprobe", "kprobe", "-f", here)
      return
    end
    assert_refused(1, "the kernel has no function no_such_function", "on_kprobe",
      "kprobe", "-f", "no_such_function")
    assert_refused(1, "offset 1000000 lies behind the end of " .. here, "on_kprobe",
      "kprobe", "-f", here, "-o", "1000000")
    -- the handler of the probes themselves
    assert_refused(1, "the kernel allows no probe on kprobe_dispatcher", "on_kprobe",
      "kprobe", "-f", "kprobe_dispatcher")
  end)

  for _, kind in ipairs { "fentry", "fexit" } do
    it("is refused as " .. kind .. " on what is no function with types", function()
      local reason = probe.missing(kind)
      if reason then
        assert_refused(1, "forbids tracing %(fentry, fexit%) programs", "on_" .. kind,
          kind, "-f", here)
        return
      end
      assert_refused(1, "the kernel's BTF has no function no_such_function", "on_" .. kind,
        kind, "-f", "no_such_function")
    end)
  end

  it("is refused as fentry and fexit by a kernel that tells no types", function()
    if not os.getenv "VM" then pending "hides the kernel's types from all: in the test VM only" end
    process.check { "mount", "-t", "tmpfs", "tmpfs", "/sys/kernel/btf" }
    finally(function() process.check { "umount", "/sys/kernel/btf" } end)
    for _, kind in ipairs { "fentry", "fexit" } do
      assert_refused(1, "this kernel does not tell its types %(BTF%): no /sys/kernel/btf/vmlinux",
        "on_" .. kind, kind, "-f", here)
    end
    local one = load("on_tracepoint", { "tracepoint", "-t", probe.tracepoint })
    probe.trigger(3)
    assert.equal(3, one:events())
  end)

  it("is refused as what its section says it is not", function()
    assert_refused(1, "on_frame is an xdp program", "on_frame", "tracepoint", "-t",
      probe.tracepoint)
    assert_refused(1, "on_fexit is a fexit program", "on_fexit", "tracepoint", "-t",
      probe.tracepoint)
  end)
end)
