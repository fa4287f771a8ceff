-- --netns: programs on interfaces of other network namespaces than the daemon's.
local uv = require "luv"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local probe = require "spec.support.probe"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

local types = {
  xdp = { "on_frame", { "xdp", "-i", "veth0", "-p", "50" }, {
    { "Priority", "50" }, { "Iface", "veth0" }, { "Position", "0" },
    { "Proceed On", "pass, dispatcher_return" } } },
  tc = { "on_packet", { "tc", "-d", "ingress", "-i", "veth0", "--proceed-on", "unspec",
    "-p", "50" }, {
    { "Priority", "50" }, { "Iface", "veth0" }, { "Position", "0" }, { "Direction", "in" },
    { "Proceed On", "unspec" } } },
  tcx = { "on_packet", { "tcx", "-d", "ingress", "-i", "veth0", "-p", "50" }, {
    { "Priority", "50" }, { "Iface", "veth0" }, { "Direction", "in" } } },
}

describe("a program in another network namespace", function()
  -- The same interface with the same number in the daemon's own namespace: nothing may land there.
  local bpfd <const>, home <const> = host.for_all()
  local clsact <const> = host.daemon_for_all({
    config = 'return { interfaces = { ["*"] = { tc_attach = "clsact" } } }' }, home)

  local assert_unchanged <const> = host.leaves_nothing(bpfd, function()
    probe.close_all()
    rpc.unload_all(clsact)
  end)

  local function words_of(kind, netns, priority)
    local words = table.move(types[kind][2], 1, #types[kind][2], 1, {})
    if priority then words[#words] = priority end
    table.move({ "--netns", netns }, 1, 2, #words + 1, words)
    return words
  end

  local function load(served, kind, netns, priority)
    return probe.load(served, types[kind][1], words_of(kind, netns, priority), { pid = 0 })
  end

  local function state_of(there)
    return there:check { "sh", "-c", "ip -o -d link show veth0 | grep -o 'prog/xdp id' ; \z
      tc qdisc show dev veth0 ; tc filter show dev veth0 ingress" }
  end

  for kind, case in pairs(types) do
    it("counts exactly as " .. kind .. ", and leaves nothing there", function()
      local reason = probe.missing(kind)
      if reason then pending(reason) end
      local other <close> = namespace.new()
      local far <close> = namespace.new()
      local pair = namespace.join(other, far, "veth0")
      local clean = state_of(other)
      local one = load(bpfd, kind, other.path)
      local rows = table.move(case[3], 1, #case[3], 1, {})
      rows[#rows + 1] = { "Netns", other.path }
      assert.equal(one:expected(rows), one.printed)
      assert.equal(one.printed, bpfd:check("get", one.id))
      namespace.send(home, 5)
      namespace.send(pair, 30)
      assert.equal(30, one:events())
      local by_name = load(bpfd, kind, other.name, "60")
      assert.matches("\n Netns: +" .. other.path:gsub("%p", "%%%0") .. "\n", by_name.printed)
      bpfd:kill()
      namespace.send(pair, 10)
      bpfd:restart()
      assert.equal(one.printed, bpfd:check("get", one.id))
      local last = load(bpfd, kind, other.path, "70")
      namespace.send(pair, 10)
      assert.same({ 50, 20, 10 }, { one:events(), by_name:events(), last:events() })
      one:unload()
      namespace.send(pair, 5)
      assert.same({ 50, 25, 15 }, { one:events(), by_name:events(), last:events() })
      by_name:unload()
      last:unload()
      namespace.send(pair, 5)
      assert.same({ 25, 15 }, { by_name:events(), last:events() })
      assert.equal(clean, state_of(other))
    end)

    it("is unloaded as " .. kind .. " when its namespace has vanished", function()
      local reason = probe.missing(kind)
      if reason then pending(reason) end
      for _, served in ipairs { bpfd, kind == "tc" and clsact or nil } do
        local far <close> = namespace.new()
        local other = namespace.new()
        namespace.join(other, far, "veth0")
        local one = load(served, kind, other.path)
        local two = load(served, kind, other.path, "60")
        other:close()
        assert.matches("\n Netns: +" .. other.path:gsub("%p", "%%%0") .. "\n",
          served:check("get", one.id))
        one:unload()
        assert.equal(two.id .. "\n", served:check("list", "-q"))
        two:unload()
        local line = probe.line(types[kind][1], words_of(kind, other.path), { pid = 0 })
        local result = served:bpfctl(table.unpack(line))
        assert.equal(1, result.exit)
        assert.matches("^bpfctl: [^\n]*cannot open " .. other.path:gsub("%p", "%%%0")
          .. ": No such file or directory\n$", result.stderr)
      end
    end)

    it("is adopted as " .. kind .. " by a daemon that starts when its namespace is gone", function()
      local reason = probe.missing(kind)
      if reason then pending(reason) end
      local far <close> = namespace.new()
      local other = namespace.new()
      namespace.join(other, far, "veth0")
      local one = load(bpfd, kind, other.path)
      bpfd:kill()
      other:close()
      bpfd:restart()
      local listed = bpfd:check("list", "-q")
      if listed ~= "" then one:unload() end
      assert.equal("", bpfd:check("list", "-q"))
    end)
  end

  it("is reached through a process, whose namespace has no name", function()
    local far <close> = namespace.new()
    local sleeper = process.start { "unshare", "--net", "sleep", "60" }
    local path = ("/proc/%d/ns/net"):format(sleeper.pid)
    local own = assert(uv.fs_readlink "/proc/self/ns/net")
    process.eventually(function() return uv.fs_readlink(path) ~= own end)
    local there = setmetatable({ name = tostring(sleeper.pid), path = path }, namespace)
    there:check { "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6" }
    local pair = namespace.join(there, far, "veth0")
    for _, kind in ipairs { "xdp", "tc" } do
      for _, served in ipairs { bpfd, kind == "tc" and clsact or nil } do
        local clean = state_of(there)
        local one = load(served, kind, path)
        assert.matches("\n Netns: +" .. path .. "\n", one.printed)
        namespace.send(pair, 8)
        one:unload()
        namespace.send(pair, 8)
        assert.equal(8, one:events())
        assert.equal(clean, state_of(there))
      end
    end
    sleeper:signal "sigkill"
    sleeper:wait()
  end)

  it("is in the daemon's own, whatever path leads there", function()
    local one = load(bpfd, "xdp", home.near.path)
    assert.is_nil(one.printed:find "Netns")
    namespace.send(home, 6)
    assert.equal(6, one:events())
  end)

  it("is refused where the path leads to none", function()
    for netns, pattern in pairs {
      ["/etc/passwd"] = "/etc/passwd is no network namespace",
      ["/proc/self/ns/mnt"] = "is no network namespace",
      ["/run"] = "/run is a directory, not a network namespace",
      ["no-such-name"] = "cannot open /run/netns/no%-such%-name: No such file or directory",
    } do
      for kind, case in pairs(types) do
        local line = probe.line(case[1], words_of(kind, netns), { pid = 0 })
        local result = bpfd:bpfctl(table.unpack(line))
        assert.equal(1, result.exit)
        assert.matches("^bpfctl: [^\n]*" .. pattern .. "\n$", result.stderr)
        assert_unchanged()
      end
    end
    local other <close> = namespace.new()
    local line = probe.line("on_frame", words_of("xdp", other.path), { pid = 0 })
    local result = bpfd:bpfctl(table.unpack(line))
    assert.equal(1, result.exit)
    assert.matches("^bpfctl: [^\n]*there is no interface veth0\n$", result.stderr)
  end)
end)
