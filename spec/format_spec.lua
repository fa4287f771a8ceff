-- What `list`, `get` and a load print, byte by byte.
local process = require "spec.support.process"
local json = require "bpf.json"
local printable = require "bpfctl.printable"

-- Draws in a process of its own, which has the time zone that is asked for.
local function draw(format, kind, data, options)
  options = options or {}
  local script <const> = [==[
    local json = require "bpf.json"
    local format = require("bpfctl.format." .. arg[1])
    local draw = format[arg[2]] or format.any
    local data = json.decode(io.read "a", { null = arg[1] == "json" })
    io.write(draw(data, { bold = arg[3] == "bold", width = tonumber(arg[4]) }))
  ]==]
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(script)
  file:close()
  local line = { "/usr/bin/env", "lua5.4", path, format, kind,
    options.bold and "bold" or "plain", options.width and tostring(options.width) }
  local result = process.run(line, {
    env = { TZ = options.zone or "EST5EDT,M3.2.0,M11.1.0" }, stdin = json.encode(data),
  })
  os.remove(path)
  assert.equal("", result.stderr)
  return result.stdout
end

local function stats()
  return json.decode [[
{"id":6204,"name":"stats","type":"tc","managed":true,"loaded_at":"2023-07-17T21:20:14Z",
 "metadata":{},
 "attach":{"type":"tc","iface":"vethff657c7","ifindex":2,"netns":null,"direction":"egress",
           "priority":100,"position":0,"proceed_on":["pipe","dispatcher_return"],"engine":"fuse"},
 "label":null,"declared_by":null,"persist":false,"path":null,
 "image_url":"quay.io/bpfd-bytecode/go-tc-counter:latest","pull_policy":"IfNotPresent",
 "digest":"sha256:9f2c","signed_by":null,"global":{},
 "map_pin_path":"/run/bpfd/fs/maps/6204","map_owner_id":null,"map_used_by":[6204],"amended":[],
 "kernel":{"id":6204,"name":"stats","type":"tc","loaded_at":"2023-07-17T21:20:14Z",
           "tag":"ead94553702a3742","gpl_compatible":true,"map_ids":[2705],"btf_id":2821,
           "bytes_xlated":176,"jited":true,"bytes_jited":116,"bytes_memlock":4096,
           "verified_insns":24}}
]]
end

local guide_sample <const> = [[
 Bpfd State
---------------
 Name:          stats
 Image URL:     quay.io/bpfd-bytecode/go-tc-counter:latest
 Pull Policy:   IfNotPresent
 Global:        None
 Metadata:      None
 Map Pin Path:  /run/bpfd/fs/maps/6204
 Map Owner ID:  None
 Map Used By:   6204
 Priority:      100
 Iface:         vethff657c7
 Position:      0
 Direction:     eg
 Proceed On:    pipe, dispatcher_return

 Kernel State
----------------------------------
 ID:                               6204
 Name:                             stats
 Type:                             tc
 Loaded At:                        2023-07-17T17:20:14-0400
 Tag:                              ead94553702a3742
 GPL Compatible:                   true
 Map IDs:                          [2705]
 BTF ID:                           2821
 Size Translated (bytes):          176
 JITed:                            true
 Size JITed (bytes):               116
 Kernel Allocated Memory (bytes):  4096
 Verified Instruction Count:       24
]]

local function bpfd_state(program)
  return draw("table", "program", program):match "^(.-)\n\n Kernel State\n"
end

describe("the table of one program", function()
  it("is the guide's", function()
    assert.equal(guide_sample, draw("table", "program", stats()))
  end)

  it("puts further values under the first, and has bold headings on a terminal", function()
    local program = stats()
    program.image_url, program.path = nil, "/run/bpfd/examples/accept-all.o"
    program.global = json.object { GLOBAL_2 = "0A0B0C0D", GLOBAL_1 = "01020304" }
    program.metadata = json.object { owner = "acme" }
    program.map_used_by = { 6373, 6371 }
    program.map_owner_id = 6371
    program.kernel.map_ids = { 2, 1 }
    local text = draw("table", "program", program, { bold = true })
    assert.equal([[
 ]] .. "\27[1mBpfd State\27[0m" .. [[

---------------
 Name:          stats
 Path:          /run/bpfd/examples/accept-all.o
 Global:        GLOBAL_1=01020304
                GLOBAL_2=0A0B0C0D
 Metadata:      owner=acme
 Map Pin Path:  /run/bpfd/fs/maps/6204
 Map Owner ID:  6371
 Map Used By:   6371
                6373
 Priority:      100
 Iface:         vethff657c7
 Position:      0
 Direction:     eg
 Proceed On:    pipe, dispatcher_return

]] .. " \27[1mKernel State\27[0m\n", text:sub(1, (text:find("----", 100, true)) - 1))
    assert.matches("\n Map IDs:                          %[1, 2%]\n", text)
  end)

  it("shows a foreign program with NONE for ours, and None for what is absent", function()
    assert.equal([[
 Bpfd State
---------------
NONE

 Kernel State
----------------------------------
 ID:                               6190
 Name:                             None
 Type:                             cgroup_skb
 Loaded At:                        2023-07-17T17:15:23-0400
 Tag:                              6deef7357e7b4530
 GPL Compatible:                   true
 Map IDs:                          []
 BTF ID:                           0
 Size Translated (bytes):          64
 JITed:                            false
 Size JITed (bytes):               None
 Kernel Allocated Memory (bytes):  8
 Verified Instruction Count:       None
]], draw("table", "program", {
      id = 6190, managed = false, type = "cgroup_skb",
      kernel = {
        id = 6190, type = "cgroup_skb", loaded_at = "2023-07-17T21:15:23.250Z",
        tag = "6deef7357e7b4530", gpl_compatible = true, map_ids = {}, btf_id = 0,
        bytes_xlated = 64, jited = false, bytes_memlock = 8, name = json.null,
      },
    }))
  end)

  it("has the rows of each type", function()
    local program = stats()
    program.map_pin_path, program.map_used_by = nil, {}
    program.attach = {
      type = "uprobe", fn_name = "malloc", offset = 0, target = "libc", retprobe = true, pid = 7,
    }
    assert.equal([[
 Bpfd State
----------------
 Name:           stats
 Image URL:      quay.io/bpfd-bytecode/go-tc-counter:latest
 Pull Policy:    IfNotPresent
 Global:         None
 Metadata:       None
 Map Pin Path:   None
 Map Owner ID:   None
 Map Used By:    None
 Probe Type:     uretprobe
 Function Name:  malloc
 Offset:         0
 Target:         libc
 PID:            7
 Container PID:  None]], bpfd_state(program))

    local function rows_of(attach)
      program.attach = attach
      return bpfd_state(program):match "\n Map Used By: +None\n(.*)$"
    end
    assert.equal([[
 Probe Type:     kprobe
 Function Name:  try_to_wake_up
 Offset:         0]], rows_of { type = "kprobe", fn_name = "try_to_wake_up", offset = 0,
      retprobe = false })
    assert.equal(" Tracepoint:    sched/sched_switch",
      rows_of { type = "tracepoint", tracepoint = "sched/sched_switch" })
    assert.equal(" Function Name:  do_unlinkat",
      rows_of { type = "fentry", fn_name = "do_unlinkat" })
    assert.equal([[
 Priority:      50
 Iface:         eth0
 Position:      1
 Proceed On:    pass, dispatcher_return
 Mode:          generic
 Engine:        freplace
 Netns:         /run/netns/blue]], rows_of {
      type = "xdp", iface = "eth0", priority = 50, position = 1, engine = "freplace",
      proceed_on = { "pass", "dispatcher_return" }, xdp_mode = "generic", netns = "/run/netns/blue",
    })
    assert.equal([[
 Priority:      50
 Iface:         eth0
 Direction:     in]], rows_of {
      type = "tcx", iface = "eth0", priority = 50, direction = "ingress",
    })
  end)

  it("says what policy and declarations did, where they did", function()
    local program = stats()
    program.persist, program.label, program.signed_by = true, "stats-eth0", "acme"
    program.declared_by = "web.lua"
    program.amended = { { hook = "site/bands", field = "attach.priority", from = 5, to = 100 } }
    assert.matches(([[
 Proceed On:    pipe, dispatcher_return
 Signed By:     acme
 Label:         stats-eth0
 Declared By:   web.lua
 Persist:       true
 Amended By:    site/bands (attach.priority: 5 -> 100)]]):gsub("%p", "%%%0") .. "$",
      bpfd_state(program))
  end)
end)

describe("the table of programs", function()
  local function program(id, name, type_name, loaded_at)
    return { id = id, name = name, type = type_name, loaded_at = loaded_at }
  end

  it("is the guide's", function()
    assert.equal([[
 Program ID  Name              Type        Load Time
 6201        pass              xdp         2023-07-17T17:17:53-0400
 6202        sys_enter_openat  tracepoint  2023-07-17T17:19:09-0400
 6204        stats             tc          2023-07-17T17:20:14-0400
]], draw("table", "programs", {
      program(6201, "pass", "xdp", "2023-07-17T21:17:53Z"),
      program(6202, "sys_enter_openat", "tracepoint", "2023-07-17T21:19:09Z"),
      program(6204, "stats", "tc", "2023-07-17T21:20:14Z"),
    }))
  end)

  it("has its header when empty, empty names, and no cell cut off", function()
    assert.equal(" Program ID  Name  Type  Load Time\n", draw("table", "programs", {}))
    assert.equal([[
 Program ID   Name  Type           Load Time
 455                cgroup_device  2023-05-03T16:58:26+0000
 12345678901  a     xdp            1969-12-31T23:59:59+0000
]], draw("table", "programs", {
      program(455, json.null, "cgroup_device", "2023-05-03T16:58:26Z"),
      program(12345678901, "a", "xdp", "1969-12-31T23:59:59Z"),
    }, { zone = "UTC" }))
  end)

  it("shows leap days and other zones right", function()
    local text = draw("table", "programs", {
      program(1, "a", "xdp", "2024-02-29T23:30:00Z"),
      program(2, "b", "xdp", "2000-03-01T00:00:00Z"),
    }, { zone = "IST-5:30" })
    assert.matches(" 2024%-03%-01T05:00:00%+0530\n", text)
    assert.matches(" 2000%-03%-01T05:30:00%+0530\n", text)
  end)
end)

describe("the wide table", function()
  local programs <const> = {
    {
      id = 7, name = "stats", type = "tc", loaded_at = "2024-02-29T23:30:00Z", managed = true,
      attach = { iface = "eth0", direction = "ingress", priority = 100, position = 0 },
      metadata = { owner = "acme", tier = "edge", note = "counts what comes in" },
      path = "/run/bpfd/examples/go-tc-counter/bpf_bpfel.o",
    },
    { id = 8, name = "read", type = "uprobe", attach = { target = "libc", fn_name = "read",
      offset = 16 }, image_url = "quay.io/acme/read:1" },
    { id = 9, type = "cgroup_skb" },
  }

  it("has one line for each program where nobody looks", function()
    local lines = {}
    local line <const> = " %-10s  %-5s  %-10s  %-24s  %-14s  %-8s  %-8s  %-48s  %s"
    for i, cells in ipairs {
      { "Program ID", "Name", "Type", "Load Time", "Attached To", "Priority", "Position",
        "Metadata", "Loaded From" },
      { 7, "stats", "tc", "2024-02-29T23:30:00+0000", "eth0 ingress", 100, 0,
        "note=counts what comes in, owner=acme, tier=edge", programs[1].path },
      { 8, "read", "uprobe", "", "libc:read+0x10", "", "", "", "quay.io/acme/read:1" },
      { 9, "", "cgroup_skb", "", "", "", "", "", "" },
    } do
      lines[i] = line:format(table.unpack(cells)):gsub(" +$", "") .. "\n"
    end
    assert.equal(table.concat(lines), draw("wide", "programs", programs, { zone = "UTC" }))
  end)

  it("folds long cells to the width of a terminal, and cuts nothing off", function()
    local text = draw("wide", "programs", programs, { zone = "UTC", width = 140 })
    for line in text:gmatch "[^\n]+" do assert.is_true(#line <= 140, line) end
    local letters = text:gsub("%s", "")
    for _, word in ipairs { "owner=acme,", "in,", "tier=edge", "libc:read+0x10" } do
      assert.truthy(letters:find(word, 1, true), word)
    end
    assert.truthy(text:find "/run/bpfd/" and text:find "bpf_bpfel.o\n")
  end)

  it("is the table where there is nothing wider", function()
    local program <const> = { id = 7, name = "a", managed = false, kernel = { id = 7 } }
    assert.equal(draw("table", "program", program), draw("wide", "program", program))
  end)
end)

describe("the table of the daemon's status", function()
  local status <const> = json.decode [[
{"version":"0.1.0","pid":77,"started_at":"2023-07-17T21:20:14Z","uptime":93784,
 "boot_id":"b","run_dir":"/run/bpfd","state_dir":"/var/lib/bpfd","config":"/etc/bpfd/bpfd.lua",
 "sockets":[{"path":"/run/bpfd/bpfd.sock","group":"bpfd","mode":"0660","allow":["*"],
             "from_service_manager":true},
            {"path":"/run/bpfd/view.sock","group":null,"mode":"0600",
             "allow":["program.list","chain.*"],"from_service_manager":false}],
 "capabilities":["bpf","net_admin"],"refused_calls":45,"resident_bytes":9437184,
 "programs":2,"chains":1,"jobs":0,"policies":{"hooks":0,"problem":null},
 "programs_directory":{"path":"/etc/bpfd/programs.d","problem":null},
 "kernel":{"release":"6.1.0","machine":"x86_64","engines":[
   {"name":"fuse xdp","available":true,"reason":null},
   {"name":"freplace xdp","available":false,"reason":"this kernel says EPERM"}]},
 "declarations":[
   {"name":"a.lua","file":"/etc/bpfd/programs.d/a.lua","state":"applied","problem":null,
    "waiting_for":[],"programs":2},
   {"name":"longer.lua","file":null,"state":"waiting","problem":null,
    "waiting_for":["eth1","eth2"],"programs":0}],
 "persisted":[
   {"number":3,"id":6204,"name":"stats","type":"tc","iface":"eth0","state":"running",
    "problem":null,"waiting_for":[]},
   {"number":4,"id":null,"name":"opens","type":"tracepoint","iface":null,"state":"failed",
    "problem":"the copy\nis damaged","waiting_for":[]}]}
]]

  it("has sections, and a line for all that is to run by itself", function()
    assert.equal([[
 Daemon
-----------------------
 Version:               0.1.0
 PID:                   77
 Started At:            2023-07-17T17:20:14-0400
 Uptime:                1d 2h
 Sockets:               /run/bpfd/bpfd.sock (0660, root:bpfd, by the service manager)
                        /run/bpfd/view.sock (0600, root:root, for program.list chain.*)
 Configuration:         /etc/bpfd/bpfd.lua
 Run Directory:         /run/bpfd
 State Directory:       /var/lib/bpfd
 Capabilities:          bpf, net_admin
 Refused System Calls:  45
 Resident Memory:       9.0 MiB
 Programs:              2
 Chains:                1
 Policy Hooks:          0

 Kernel
----------
 Release:  6.1.0
 Machine:  x86_64
 Engines:  fuse xdp
           freplace xdp: no, this kernel says EPERM

 Declaration  Programs  State
 a.lua        2         applied
 longer.lua   0         waiting for eth1, eth2

 Persisted  Program ID  Name   Type        Iface  State
 3          6204        stats  tc          eth0   running
 4          None        opens  tracepoint         failed: the copy\x0ais damaged
]], draw("table", "status", status))
  end)
end)

describe("json", function()
  it("is one line with the vocabulary's keys in order, nulls kept", function()
    local program = {
      managed = false, kernel = { type = "xdp", id = 7 }, type = "xdp", id = 7, name = json.null,
      metadata = json.object {},
    }
    assert.equal('{"id":7,"name":null,"type":"xdp","managed":false,"metadata":{},'
      .. '"kernel":{"id":7,"type":"xdp"}}\n', draw("json", "program", program))
    assert.equal("[]\n", draw("json", "programs", {}))
  end)

  it("is UTF-8 whatever a path holds", function()
    assert.equal('{"path":"a\u{FFFD}b"}\n', draw("json", "program", { path = "a\xffb" }))
  end)
end)

describe("text of others", function()
  it("loses its control characters", function()
    assert.equal("a\\x1b[31mb\\x0a", printable "a\27[31mb\n")
    assert.equal("a\n\\x1b", printable("a\n\27", "\n\t"))
    assert.equal("\\xc2\\x9b1m é", printable "\u{9b}1m é")
  end)
end)
