-- What bad input gets: a clear error, a non-zero exit, nothing left behind, the chain running on.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local files = require "spec.support.files"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local residue = require "spec.support.residue"

local OBJECTS <const> = os.getenv "BUILD" .. "/objects/"
local EXAMPLES <const> = bpfctl.examples

describe("bad input", function()
  local bpfd <const>, pair <const> = host.for_all()
  local kept, scratch

  setup(function()
    namespace.join(pair.near, pair.far, "foreign", 7)
    scratch = bpfd.directory .. "/"
    assert(uv.fs_mkdir(scratch .. "directory.o", tonumber("755", 8)))
    process.check { "mkfifo", scratch .. "fifo.o" }
    files.write(scratch .. "text.o", "This is no object.\n")
    files.write(scratch .. "empty.o", "")
    local whole = files.read(OBJECTS .. "verdict_xdp.o")
    files.write(scratch .. "truncated.o", whole:sub(1, #whole // 2))
    files.write(scratch .. "header.o", whole:sub(1, 64))
    -- e_ident[EI_DATA]: 2 is big-endian
    files.write(scratch .. "big-endian.o", whole:sub(1, 5) .. "\2" .. whole:sub(7))
    kept = bpfd:load("-p", OBJECTS .. "verdict_xdp.o", "-n", "verdict",
      "xdp", "-i", "veth0", "-p", "5")
  end)

  ---Runs a line that must fail, and proves that it changed nothing.
  local function assert_refused(arguments, exit, pattern)
    local before = residue.scan(bpfd)
    local result = bpfd:bpfctl(table.unpack(arguments))
    local told = ("\nbpfctl %s\n%s"):format(table.concat(arguments, " "), result.stderr)
    assert.are.equal(exit, result.exit, told)
    assert.are.equal("", result.stdout, told)
    assert.is_truthy(result.stderr:find "^bpfctl: %S", told)
    assert.is_truthy(result.stderr:find(pattern), ("\nno %q in:%s"):format(pattern, told))
    assert.are.equal(before, residue.settled(bpfd, before), told)
    local runs = bpfd:counter(kept, "runs")
    namespace.send(pair, 2)
    process.eventually(function() return bpfd:counter(kept, "runs") == runs + 2 end, 2000)
    assert.are.equal(runs + 2, bpfd:counter(kept, "runs"), "the earlier chain no longer runs")
  end

  local function xdp(path, name)
    return { "load-from-file", "-p", path, "-n", name or "verdict",
      "xdp", "-i", "veth0", "-p", "9" }
  end

  local function with(path, name, options)
    local arguments = { "load-from-file", "-p", path, "-n", name }
    for word in options:gmatch "%S+" do arguments[#arguments + 1] = word end
    return arguments
  end

  local accept, verdict = EXAMPLES .. "accept-all.o", OBJECTS .. "verdict_xdp.o"
  local openat = EXAMPLES .. "sys_enter_openat.o"
  local tc_end, xdp_end = " tc -d ingress -i veth0 -p 9", " xdp -i veth0 -p 9"

  -- name, arguments (or what makes them), exit status, pattern of the message
  for _, case in ipairs {
    { "a missing file", xdp "/no/such/file.o", 1, "/no/such/file%.o.*[Nn]o such file" },
    { "a directory", function() return xdp(scratch .. "directory.o") end, 1, "directory" },
    { "a FIFO", function() return xdp(scratch .. "fifo.o") end, 1, "fifo%.o" },
    { "a device", xdp "/dev/zero", 1, "/dev/zero" },
    { "an empty file", function() return xdp(scratch .. "empty.o") end, 1, "empty%.o" },
    { "a text file", function() return xdp(scratch .. "text.o") end, 1, "text%.o.*ELF" },
    { "a truncated ELF", function() return xdp(scratch .. "truncated.o") end, 1, "truncated%.o" },
    { "an ELF that ends with its header", function() return xdp(scratch .. "header.o") end, 1,
      "header%.o" },
    { "a big-endian ELF", function() return xdp(scratch .. "big-endian.o") end, 1, "endian" },
    { "an ELF that is no BPF object", xdp(bpfctl.path), 1, "bpfctl" },
    { "no such function", xdp(verdict, "verdictt"), 1, "verdictt.*verdict" },
    { "a TC function on XDP", xdp(EXAMPLES .. "filter.bpf.o", "classifier"), 1, "tc" },
    { "an XDP function on TC", with(verdict, "verdict", tc_end), 1, "xdp" },
    { "an XDP function on a tracepoint",
      with(verdict, "verdict", "tracepoint -t sched/sched_switch"), 1, "xdp" },
    { "a program that the verifier rejects", xdp(OBJECTS .. "rejected.o", "rejected"), 1,
      "rejected.*\n.*invalid" },
    { "a global that does not exist", with(accept, "accept", "-g GLOBAL_3=01020304" .. tc_end), 1,
      "GLOBAL_3" },
    { "a global of the wrong size", with(accept, "accept", "-g GLOBAL_1=0102" .. tc_end), 1,
      "GLOBAL_1.*has 4" },
    { "a global with odd digits", with(accept, "accept", "-g GLOBAL_1=0102030" .. tc_end), 64,
      "GLOBAL_1" },
    { "a global that is no hex", with(accept, "accept", "-g GLOBAL_1=010203xx" .. tc_end), 64,
      "GLOBAL_1" },
    { "a global out of its type's range", with(accept, "accept", "-g GLOBAL_1=u8:256" .. tc_end),
      64, "256" },
    { "a global's list without a value", with(accept, "accept", "-g" .. tc_end), 64, "global" },
    { "metadata without =", with(verdict, "verdict", "-m owner" .. xdp_end), 64,
      "KEY=VALUE.*owner" },
    { "an interface that does not exist", with(verdict, "verdict", "xdp -i nosuch0 -p 9"), 1,
      "nosuch0" },
    { "an interface name out of all measure",
      with(verdict, "verdict", "xdp -i " .. ("x"):rep(300) .. " -p 9"), 1, "x" },
    { "a bogus direction", with(accept, "accept", "tc -d sideways -i veth0 -p 9"), 64,
      "sideways.*ingress" },
    { "a bogus proceed-on", with(verdict, "verdict", "xdp -i veth0 -p 9 --proceed-on pas"), 64,
      "pas.*pass" },
    { "a proceed-on of the other kind",
      with(verdict, "verdict", "xdp -i veth0 -p 9 --proceed-on ok"), 64, "ok" },
    { "a priority that is no number", with(verdict, "verdict", "xdp -i veth0 -p high"), 64,
      "priority" },
    { "a negative priority", with(verdict, "verdict", "xdp -i veth0 -p -1"), 64,
      "priority.*2147483647" },
    { "a priority out of range", with(verdict, "verdict", "xdp -i veth0 -p 2147483648"), 64,
      "2147483647" },
    { "no priority", with(verdict, "verdict", "xdp -i veth0"), 64, "priority" },
    { "a tracepoint without a slash", with(openat, "sys_enter_openat",
      "tracepoint -t sys_enter_openat"), 64, "CATEGORY/NAME" },
    { "a tracepoint that does not exist", with(openat, "sys_enter_openat",
      "tracepoint -t sched/no_such_event"), 1, "no_such_event.*sched" },
    { "a tracepoint that climbs", with(openat, "sys_enter_openat", "tracepoint -t ../enable"), 1,
      "%.%./enable" },
    { "a uprobe target that does not exist", with(EXAMPLES .. "uprobe.o", "requested",
      "uprobe -f malloc -t /no/such/library.so"), 1, "/no/such/library%.so" },
    { "a library that ld.so does not know", with(EXAMPLES .. "uprobe.o", "requested",
      "uprobe -f malloc -t libnosuchthing"), 1, "libnosuchthing" },
    { "a uprobe symbol that does not exist", with(EXAMPLES .. "uprobe.o", "requested",
      "uprobe -f no_such_symbol -t libc"), 1, "no_such_symbol" },
    { "a process that does not exist", with(EXAMPLES .. "uprobe.o", "requested",
      "uprobe -f malloc -t libc --pid 4194305"), 1, "4194305" },
    { "an offset on a kretprobe", with(EXAMPLES .. "kprobe.o", "returns",
      "kprobe -f try_to_wake_up -o 4 -r"), 64, "offset" },
    { "a format where the offset stands", with(EXAMPLES .. "kprobe.o", "calls",
      "kprobe -f try_to_wake_up -o json"), 64, "offset must be a number.*%-%-output json" },
    { "a map owner that is unknown",
      with(verdict, "verdict", "--map-owner-id 4000000001" .. xdp_end), 1, "4000000001" },
    { "a map owner that is no number", with(verdict, "verdict", "--map-owner-id me" .. xdp_end), 64,
      "map%-owner%-id" },
    { "an id that is unknown", { "get", "4000000001" }, 1, "4000000001" },
    { "an unknown id to unload", { "unload", "4000000001" }, 1, "4000000001" },
    { "an id that is no number", { "get", "first" }, 64, "first" },
    { "an id that is no number to unload", { "unload", "first" }, 64, "first" },
    { "an id past all numbers", { "get", "99999999999999999999" }, 64, "99999999999999999999" },
    { "an id that is not ours", function()
      return { "unload", (bpfd:check("list", "--all"):match "\n (%d+) +dispatcher +xdp ") }
    end, 1, "not" },
    { "an unknown command", { "lst" }, 64, "lst.*list" },
    { "an unknown type", with(verdict, "verdict", "xpd -i veth0 -p 9"), 64, "xpd.*xdp" },
    { "an unknown option", with(verdict, "verdict", "--glbal A=00" .. xdp_end), 64,
      "%-%-glbal.*%-%-global" },
    { "an unknown format", { "list", "--output", "jsn" }, 64, "jsn.*json" },
    { "a common option behind the type", with(verdict, "verdict", "xdp --path x.o -i veth0 -p 9"),
      64, "%-%-path belongs before xdp" },
    { "an option given twice", with(verdict, "verdict", "-n other" .. xdp_end), 64, "name" },
    { "an unknown program type to list", { "list", "--program-type", "xpd" }, 64, "xpd.*xdp" },
  } do
    it(case[1], function()
      local arguments = type(case[2]) == "function" and case[2]() or case[2]
      assert_refused(arguments, case[3], case[4])
    end)
  end

  it("a foreign XDP program on the interface", function()
    pair.near:check { "ip", "link", "set", "foreign", "xdp", "object", verdict, "section", "xdp" }
    assert_refused(with(verdict, "verdict", "xdp -i foreign -p 1"), 1, "XDP of foreign.*not ours")
    assert.is_truthy(pair.near:check({ "ip", "link", "show", "foreign" }):find "xdp")
    pair.near:check { "ip", "link", "set", "foreign", "xdp", "off" }
  end)

  it("a foreign ingress qdisc on the interface", function()
    pair.near:check { "tc", "qdisc", "add", "dev", "foreign", "ingress" }
    assert_refused(with(accept, "accept", "tc -d ingress -i foreign -p 1"), 1, "ingress")
    assert.is_truthy(pair.near:check({ "tc", "qdisc", "show", "dev", "foreign" }):find "ingress")
    pair.near:check { "tc", "qdisc", "delete", "dev", "foreign", "ingress" }
  end)

  it("more members than the kernel verifies", function()
    local ids, refused = {}, false
    for i = 1, 40 do -- each takes a program of its own, and a packet has 33 tail calls
      local result = bpfd:bpfctl("-q", "load-from-file", "-p", OBJECTS .. "many_maps.o",
        "-n", "many_maps", "xdp", "-i", "foreign", "-p", tostring(i))
      refused = result.exit ~= 0
      if refused then break end
      ids[i] = result.stdout:match "%d+"
    end
    assert.is_true(refused, "forty were taken")
    assert_refused(with(OBJECTS .. "many_maps.o", "many_maps", "xdp -i foreign -p 99"), 1,
      "many_maps")
    namespace.send({ far = pair.far, near_address = "10.7.0.1" }, 3)
    for _, id in ipairs(ids) do
      process.eventually(function() return bpfd:counter(id, "map_07") == 3 end, 2000)
      assert.are.equal(3, bpfd:counter(id, "map_07"))
    end
    for _, id in ipairs(ids) do bpfd:check("unload", id) end
  end)

  it("a daemon that is not running", function()
    local result = process.run({ bpfctl.path, "--socket", "/tmp/no-such-socket", "list" })
    assert.are.equal(69, result.exit)
    assert.are.equal("", result.stdout)
    assert.is_truthy(result.stderr:find "^bpfctl: [^\n]*/tmp/no%-such%-socket[^\n]*\n$")
    assert.is_truthy(result.stderr:find("sudo systemctl start bpfd, or sudo bpfd", 1, true))
  end)

  it("with -o json gives one line of JSON on stderr", function()
    local result = bpfd:bpfctl("-o", "json", table.unpack(xdp "/no/such/file.o"))
    assert.are.equal(1, result.exit)
    assert.are.equal("", result.stdout)
    local told = require "dkjson".decode((result.stderr:match "^([^\n]+)\n$"))
    assert.are.equal("ENOENT", told.error.code)
  end)
end)
