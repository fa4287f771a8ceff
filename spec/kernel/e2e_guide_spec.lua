-- The guide's own lines, as a user pastes them, against a bpfd of their own.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local expected = require "spec.support.expected"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

describe("the guide's lines", function()
  local bpfd <const>, pair <const> = host.for_all { iface = "vethb2795c7" }
  local examples = assert(uv.fs_realpath(bpfctl.examples)) .. "/"

  setup(function()
    for number, iface in ipairs { "vethff657c7", "mynet1" } do
      namespace.join(pair.near, pair.far, iface, number)
    end
  end)
  after_each(function() rpc.unload_all(bpfd) end)

  ---A line of the guide; its paths become those of the built examples, nothing else changes.
  local function paste(line, ...)
    local words = bpfctl.words(line:format(...))
    assert.are.equal("bpfctl", table.remove(words, 1))
    for i, word in ipairs(words) do words[i] = word:gsub("^/run/bpfd/examples/", examples) end
    return bpfd:check(table.unpack(words))
  end

  local function only_id()
    return (assert(bpfd:check("list", "-q"):match "^(%d+)\n$", "more or less than one program"))
  end

  local function load_time(id)
    return (assert(bpfd:check("list"):match("\n " .. id .. " [^\n]*  (%S+)\n"), "not listed"))
  end

  ---Compares what a load printed with the output's rules and with `get`.
  local function assert_printed(printed, program, attach, type_name)
    local id = program.id or only_id()
    if program.maps then program.maps = bpfd.run_dir .. "/fs/maps/" .. (program.owner or id) end
    local whole = expected.loaded(program, attach) .. "\n"
      .. expected.kernel_state(bpfd, id, program.name:sub(1, 15), type_name, load_time(id))
    assert.are.equal(whole, printed)
    assert.are.equal(whole, bpfd:check("get", id))
  end

  local function xdp_rows(priority, iface, proceed_on)
    return { { "Priority", priority }, { "Iface", iface }, { "Position", "0" },
      { "Proceed On", proceed_on or "pass, dispatcher_return" } }
  end

  local function tc_rows(priority, iface, direction, proceed_on)
    return { { "Priority", priority }, { "Iface", iface }, { "Position", "0" },
      { "Direction", direction },
      { "Proceed On", proceed_on or "ok, pipe, dispatcher_return" } }
  end

  for _, line in ipairs {
    [[bpfctl load-from-file --path /run/bpfd/examples/xdp_pass_kern.o --name "pass" xdp ]]
      .. [[--iface vethb2795c7 --priority 100]],
    [[bpfctl load-from-file --path /run/bpfd/examples/xdp_pass_kern.o --name "pass" xdp ]]
      .. [[--iface vethb2795c7 --priority 35]],
  } do
    it("load pass: " .. line:match "priority %d+", function()
      assert_printed(paste(line), { name = "pass", path = examples .. "xdp_pass_kern.o" },
        xdp_rows(line:match "%d+$", "vethb2795c7"), "xdp")
    end)
  end

  it("load accept with short options", function()
    local printed = paste([[bpfctl load-from-file -p /run/bpfd/examples/accept-all.o -n "accept" ]]
      .. [[tc -d ingress -i mynet1 -p 40]])
    assert_printed(printed, { name = "accept", path = examples .. "accept-all.o" },
      tc_rows("40", "mynet1", "in"), "tc")
  end)

  it("load classifier", function()
    local printed = paste([[bpfctl load-from-file --path /run/bpfd/examples/filter.bpf.o ]]
      .. [[--name classifier tc --direction ingress --iface vethb2795c7 --priority 110]])
    local id = only_id()
    assert_printed(printed, {
      name = "classifier", path = examples .. "filter.bpf.o", maps = true, used_by = id,
    }, tc_rows("110", "vethb2795c7", "in"), "tc")
    assert.are.equal("blocked\n", process.check { "ls", bpfd.run_dir .. "/fs/maps/" .. id })
  end)

  it("set global variables", function()
    local printed = paste([[bpfctl load-from-file -p /run/bpfd/examples/accept-all.o ]]
      .. [[-g GLOBAL_1=01020304 GLOBAL_2=0A0B0C0D -n "accept" tc -d ingress -i mynet1 -p 40]])
    assert_printed(printed, {
      name = "accept", path = examples .. "accept-all.o",
      global = "GLOBAL_1=01020304\nGLOBAL_2=0A0B0C0D",
    }, tc_rows("40", "mynet1", "in"), "tc")
  end)

  it("modify the proceed-on behaviour", function()
    local printed = paste([[bpfctl load-from-file -p /run/bpfd/examples/xdp_pass_kern.o ]]
      .. [[-n "xdp" xdp -i mynet1 -p 30 --proceed-on drop pass dispatcher_return]])
    assert_printed(printed, { name = "xdp", path = examples .. "xdp_pass_kern.o" },
      xdp_rows("30", "mynet1", "drop, pass, dispatcher_return"), "xdp")
  end)

  it("share maps, and unload in any order", function()
    local path = "/run/bpfd/examples/go-xdp-counter/bpf_bpfel.o"
    paste([[bpfctl load-from-file --path %s -n "xdp_stats" xdp --iface vethb2795c7 --priority 100]],
      path)
    local owner = only_id()
    local printed = paste([[bpfctl load-from-file --path %s -n "xdp_stats" --map-owner-id %s xdp ]]
      .. [[--iface vethff657c7 --priority 100]], path, owner)
    local sharer = printed:match "\n ID: +(%d+)\n"
    local used_by = owner .. "\n" .. sharer
    local program = { id = sharer, name = "xdp_stats", path = examples .. path:match "go%-.*",
      maps = true, owner = owner, used_by = used_by }
    assert_printed(printed, program, xdp_rows("100", "vethff657c7"), "xdp")
    assert.are.equal(expected.list {
      { owner, "xdp_stats", "xdp", load_time(owner) },
      { sharer, "xdp_stats", "xdp", load_time(sharer) },
    }, paste "bpfctl list")
    assert.are.equal(used_by, bpfctl.rows(paste("bpfctl get %s", owner))["Map Used By"])
    assert.are.equal("", paste("bpfctl unload %s", owner))
    local directory = bpfd.run_dir .. "/fs/maps/" .. owner
    assert.are.equal("xdp_stats_map\n", process.check { "ls", directory })
    assert.are.equal("", paste("bpfctl unload %s", sharer))
    assert.is_nil(uv.fs_stat(directory))
  end)

  it("list three kinds, and what is left after an unload", function()
    paste([[bpfctl load-from-file --path /run/bpfd/examples/xdp_pass_kern.o --name "pass" xdp ]]
      .. [[--iface vethb2795c7 --priority 100]])
    local pass = only_id()
    local tracepoint = bpfd:load("-p", examples .. "sys_enter_openat.o", "-n", "sys_enter_openat",
      "tracepoint", "-t", "syscalls/sys_enter_openat")
    local stats = bpfd:load("-p", examples .. "go-tc-counter/bpf_bpfel.o", "-n", "stats",
      "tc", "-d", "egress", "-i", "vethff657c7", "-p", "100",
      "--proceed-on", "pipe", "dispatcher_return")
    local rows = {
      { pass, "pass", "xdp", load_time(pass) },
      { tracepoint, "sys_enter_openat", "tracepoint", load_time(tracepoint) },
      { stats, "stats", "tc", load_time(stats) },
    }
    assert.are.equal(expected.list(rows), paste "bpfctl list")
    for _, program in ipairs(bpfd:json "list") do
      assert.is_false(program.persist) -- the last that a list shows
      assert.is_nil(program.path)
      assert.is_nil(program.kernel)
    end
    assert_printed(paste("bpfctl get %s", stats), {
      id = stats, name = "stats", path = examples .. "go-tc-counter/bpf_bpfel.o", maps = true,
      used_by = stats,
    }, tc_rows("100", "vethff657c7", "eg", "pipe, dispatcher_return"), "tc")

    local all = paste "bpfctl list --all"
    for _, row in ipairs(rows) do
      assert.is_truthy(all:find(("\n %s +%s +%s +%s\n"):format(row[1], row[2], row[3],
        row[4]:gsub("%p", "%%%0"))), "not in list --all: " .. row[2])
    end
    local tc = paste "bpfctl list --all --program-type tc"
    assert.is_truthy(tc:find "\n %d+ +dispatcher +tc +%S+\n")
    assert.is_truthy(tc:find("\n " .. stats .. " +stats +tc "))
    assert.is_nil(tc:find " xdp ")

    assert.are.equal("", paste("bpfctl unload %s", stats))
    table.remove(rows)
    assert.are.equal(expected.list(rows), paste "bpfctl list")
  end)

  it("get a program that bpfd did not load", function()
    bpfd:load("-p", examples .. "xdp_pass_kern.o", "-n", "pass", "xdp", "-i", "mynet1", "-p", "40")
    local foreign = pair.near:check({ "ip", "link", "show", "mynet1" }):match "prog/xdp id (%d+)"
    local time = bpfd:check("list", "--all")
      :match("\n " .. foreign .. " +dispatcher +xdp +(%S+)\n")
    assert.are.equal(" Bpfd State\n---------------\nNONE\n\n"
      .. expected.kernel_state(bpfd, foreign, "dispatcher", "xdp", time),
      paste("bpfctl get %s", foreign))
    local refused = bpfd:bpfctl("unload", foreign)
    assert.are.equal(1, refused.exit)
    assert.is_truthy(refused.stderr:find "^bpfctl: ")
  end)

  -- of each page: its usage line, and the words that begin its lines, in the guide's order
  for line, page in pairs {
    ["bpfctl --help"] = { "bpfctl <COMMAND>", "load-from-file", "load-from-image", "unload",
      "list", "get", "pull-bytecode", "help", "-h, --help", "-V, --version" },
    ["bpfctl load-from-file --help"] = {
      "bpfctl load-from-file [OPTIONS] --path <PATH> --name <NAME> <COMMAND>",
      "xdp", "tc", "tracepoint", "kprobe", "uprobe", "help", "-p, --path <PATH>",
      "-n, --name <NAME>", "-g, --global <GLOBAL>...", "-m, --metadata <METADATA>",
      "--map-owner-id <MAP_OWNER_ID>", "-h, --help" },
    ["bpfctl load-from-image --help"] = {
      "bpfctl load-from-image [OPTIONS] --image-url <IMAGE_URL> <COMMAND>",
      "-i, --image-url <IMAGE_URL>", "-r, --registry-auth <REGISTRY_AUTH>",
      "-p, --pull-policy <PULL_POLICY>", "-n, --name <NAME>", "-g, --global <GLOBAL>...",
      "-m, --metadata <METADATA>", "--map-owner-id <MAP_OWNER_ID>", "-h, --help" },
    ["bpfctl load-from-file xdp --help"] = {
      "bpfctl load-from-file --path <PATH> --name <NAME> xdp [OPTIONS] --iface <IFACE> "
        .. "--priority <PRIORITY>",
      "-i, --iface <IFACE>", "-p, --priority <PRIORITY>", "--proceed-on <PROCEED_ON>...",
      "[possible values: aborted, drop, pass, tx, redirect, dispatcher_return]",
      "[default: pass, dispatcher_return]", "-h, --help" },
    ["bpfctl load-from-file tc -h"] = {
      "bpfctl load-from-file --path <PATH> --name <NAME> tc [OPTIONS] --direction <DIRECTION> "
        .. "--iface <IFACE> --priority <PRIORITY>",
      "-d, --direction <DIRECTION>", "[possible values: ingress, egress]", "-i, --iface <IFACE>",
      "-p, --priority <PRIORITY>", "--proceed-on <PROCEED_ON>...",
      "[possible values: unspec, ok, reclassify, shot, pipe, stolen, queued,",
      "[default: ok, pipe, dispatcher_return]", "-h, --help" },
    ["bpfctl pull-bytecode --help"] = {
      "bpfctl pull-bytecode [OPTIONS] --image-url <IMAGE_URL>", "-i, --image-url <IMAGE_URL>",
      "-r, --registry-auth <REGISTRY_AUTH>", "-p, --pull-policy <PULL_POLICY>", "-h, --help" },
  } do
    it("help: " .. line, function()
      local printed = paste("%s", line)
      local usage = "\nUsage: " .. page[1] .. "\n------\n"
      local _, from = printed:find(usage, 1, true)
      assert(from, printed)
      for i = 2, #page do
        local _, stop = printed:find("\n *" .. page[i]:gsub("%p", "%%%0"), from)
        assert(stop, page[i] .. " is missing, or not in its place:\n" .. printed)
        from = stop
      end
    end)
  end

  it("say of the image commands that they are not there yet", function()
    for _, line in ipairs {
      "bpfctl load-from-image --image-url quay.io/bpfd-bytecode/xdp_pass:latest xdp \z
        --iface vethb2795c7 --priority 100",
      "bpfctl load-from-image --image-url quay.io/bpfd-bytecode/kprobe:latest kprobe \z
        -f try_to_wake_up",
      "bpfctl pull-bytecode --image-url quay.io/bpfd-bytecode/xdp_pass:latest",
    } do
      local words = bpfctl.words(line)
      local result = bpfd:bpfctl(table.unpack(words, 2))
      assert.are.equal(1, result.exit)
      assert.are.equal("", result.stdout)
      assert.is_truthy(result.stderr:find "^bpfctl: [^\n]+\n$")
    end
  end)
end)
