-- Tracepoints, kprobes and uprobes: exact events, exact output.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local daemon = require "spec.support.daemon"
local expected = require "spec.support.expected"
local rpc = require "spec.support.rpc"
local bpf = require "bpf"

describe("tracing", function()
  local bpfd
  local own_pid = uv.os_getpid() // 1 | 0 -- luv gives a float
  local examples = assert(uv.fs_realpath(bpfctl.examples)) .. "/"

  setup(function() bpfd = daemon.start() end)
  teardown(function() if bpfd then bpfd:close() end end)

  after_each(function() rpc.unload_all(bpfd) end)

  local function assert_printed(printed, program, attach)
    local id = assert(printed:match "\n ID: +(%d+)\n", printed)
    local time = bpfd:check("list"):match("\n " .. id .. " [^\n]*  (%S+)\n")
    program.maps = program.maps and ("%s/fs/maps/%s"):format(bpfd.run_dir, id)
    program.used_by = program.maps and id
    assert.are.equal(expected.loaded(program, attach) .. "\n"
      .. expected.kernel_state(bpfd, id, program.name:sub(1, 15), program.type, time), printed)
    assert.are.equal(printed, bpfd:check("get", id))
    return id
  end

  it("counts a tracepoint's events exactly", function()
    local printed = bpfd:check("load-from-file", "-p", examples .. "sys_enter_openat.o",
      "-n", "sys_enter_openat", "-g", "ONLY_PID=u32:" .. own_pid, "-m", "owner=acme",
      "tracepoint", "-t", "syscalls/sys_enter_openat")
    local id = assert_printed(printed, {
      name = "sys_enter_openat", type = "tracepoint", path = examples .. "sys_enter_openat.o",
      global = "ONLY_PID=" .. string.pack("<I4", own_pid):gsub(".", function(byte)
        return ("%02X"):format(byte:byte())
      end), metadata = "owner=acme", maps = true,
    }, { { "Tracepoint", "syscalls/sys_enter_openat" } })
    local pin = ("%s/fs/maps/%s/opened"):format(bpfd.run_dir, id)
    local map <close> = assert(bpf.map.open_pin(pin))
    local key = string.pack("<I4", own_pid)
    local function opened() return string.unpack("<I8", assert(map:lookup(key))) end
    local file <close> = assert(io.open "/dev/null")
    local before = opened()
    for _ = 1, 50 do assert(io.open "/dev/null"):close() end
    assert.are.equal(before + 50, opened())
    assert.is_truthy(file)
  end)

  it("finds libc by name for a uprobe", function()
    local printed = bpfd:check("load-from-file", "-p", examples .. "uprobe.o", "-n", "requested",
      "uprobe", "-f", "malloc", "-t", "libc")
    local id = assert_printed(printed, {
      name = "requested", type = "uprobe", path = examples .. "uprobe.o", maps = true,
    }, {
      { "Probe Type", "uprobe" }, { "Function Name", "malloc" }, { "Offset", "0" },
      { "Target", "libc" }, { "PID", "None" }, { "Container PID", "None" },
    })
    -- a size that nobody else asks for: a terabyte is refused, but asked for all the same
    local before = bpfd:counter(id, "sizes", 40)
    for _ = 1, 3 do pcall(uv.fs_read, 0, 1 << 40) end
    assert.are.equal(before + 3, bpfd:counter(id, "sizes", 40))
  end)

  it("takes a uretprobe, a path and one process", function()
    local libc
    for line in io.lines "/proc/self/maps" do
      libc = libc or line:match "(/%S*/libc%.so%.6)$" or line:match "(/%S*/libc%-[%d.]+%.so)$"
    end
    local pid = tostring(own_pid)
    local printed = bpfd:check("load-from-file", "-p", examples .. "uprobe.o", "-n", "refused",
      "uprobe", "-f", "malloc", "-t", libc, "-r", "--pid", pid)
    assert_printed(printed, {
      name = "refused", type = "uprobe", path = examples .. "uprobe.o", maps = true,
    }, {
      { "Probe Type", "uretprobe" }, { "Function Name", "malloc" }, { "Offset", "0" },
      { "Target", libc }, { "PID", pid }, { "Container PID", "None" },
    })
  end)

  it("loads a kprobe, or says that this kernel has none", function()
    for _, case in ipairs { { "calls", "kprobe" }, { "returns", "kretprobe", "-r" } } do
      local result = bpfd:bpfctl("load-from-file", "-p", examples .. "kprobe.o", "-n", case[1],
        "kprobe", "-f", "try_to_wake_up", case[3])
      if result.exit == 0 then
        assert_printed(result.stdout, {
          name = case[1], type = "kprobe", path = examples .. "kprobe.o", maps = true,
        }, {
          { "Probe Type", case[2] }, { "Function Name", "try_to_wake_up" }, { "Offset", "0" },
        })
      else
        assert.are.equal(1, result.exit)
        assert.are.equal("", result.stdout)
        assert.is_truthy(result.stderr:find "this kernel has no kprobes", result.stderr)
        assert.are.equal("", bpfd:check("list", "-q"))
      end
    end
  end)
end)
