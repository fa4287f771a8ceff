-- uprobes on what a process in another mount namespace sees, which is not what we see.
local container = require "spec.support.container"
local host = require "spec.support.host"
local probe = require "spec.support.probe"
local process = require "spec.support.process"

describe("a uprobe in a container", function()
  local bpfd <const> = host.daemon_for_all()
  host.leaves_nothing(bpfd, probe.close_all)
  local inside
  setup(function() inside = container.start() end)
  teardown(function() inside:close() end)

  local function load(name, target, ...)
    return probe.load(bpfd, name, { "uprobe", "-f", "clock", "-t", target,
      "--container-pid", tostring(inside.pid), ... }, { pid = 0 })
  end

  for what, target in pairs {
    ["a library's name, by the container's own cache"] = "libc",
    ["a path in the container"] = "/inside/libc.so.6",
    ["a link in the container, with the container's root"] = "/linked",
  } do
    it("finds its target by " .. what, function()
      local one = load("on_uprobe", target)
      assert.equal(one:expected {
        { "Probe Type", "uprobe" }, { "Function Name", "clock" }, { "Offset", "0" },
        { "Target", target }, { "PID", "None" }, { "Container PID", tostring(inside.pid) },
      }, one.printed)
      inside:trigger(12)
      process.check { "lua5.4", "-e", "os.clock()" } -- on the machine's own library
      assert.equal(12, one:events())
      one:unload()
      inside:trigger(3)
      assert.equal(12, one:events())
    end)
  end

  it("runs beside others, and on after a crash of the daemon", function()
    local entry, exit = load("on_uprobe", "libc"), load("on_uretprobe", "/linked", "-r")
    local its = load("on_anything", "libc", "--pid", tostring(inside.pid))
    inside:trigger(5)
    bpfd:kill()
    inside:trigger(5)
    bpfd:restart()
    inside:trigger(5)
    assert.same({ 15, 15, 15 }, { entry:events(), exit:events(), its:events() })
    assert.equal(entry.printed, bpfd:check("get", entry.id))
  end)

  it("is refused, by the target's name, for what the container has not", function()
    for target, pattern in pairs {
      libnosuch = "no library libnosuch in /etc/ld.so.cache",
      ["/linked/none"] = "container of process %d+: cannot open /linked/none: Not a directory",
      ["/etc/hostname"] = "container of process %d+: cannot open /etc/hostname: No such file",
      ["/etc/ld.so.conf"] = "/etc/ld.so.conf is not an ELF file",
      ["/etc"] = "/etc is not a regular file",
    } do
      local line = probe.line("on_uprobe", { "uprobe", "-f", "clock", "-t", target,
        "--container-pid", tostring(inside.pid) }, {})
      local result = bpfd:bpfctl(table.unpack(line))
      assert.equal(1, result.exit)
      assert.matches("^bpfctl: [^\n]*" .. pattern .. "[^\n]*\n$", result.stderr)
      assert.is_nil(result.stderr:find("/proc/self", 1, true))
    end
  end)
end)
