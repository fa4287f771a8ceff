-- Scripts, the REPL, formats and completion against a daemon that has programs.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local folder = require "spec.support.folder"
local host = require "spec.support.host"
local process = require "spec.support.process"
local pty = require "spec.support.pty"
local rpc = require "spec.support.rpc"

local COUNTER <const> = bpfctl.examples .. "go-xdp-counter/bpf_bpfel.o"

describe("with a daemon", function()
  local served <const>, pair <const> = host.for_all()
  local home

  setup(function() home = folder.new() end)
  teardown(function() home:close() end)
  after_each(function() rpc.unload_all(served) end)

  local function script(text, ...)
    return bpfctl.run(served, { "run", home:write("script.lua", text), ... })
  end

  it("a script loads a program from a path, looks at it, and unloads it", function()
    local result = script([[
      local program = assert(client:call("program.load", { fd = 0, name = "xdp_stats",
        attach = { type = "xdp", iface = "veth0", priority = 50 } }, { descriptors = { arg[1] } }))
      local map <close> = assert(bpf.map.open_pin(program.map_pin_path .. "/xdp_stats_map"))
      print(program.attach.position, map:info().type, #client:call("program.list").programs)
      assert(client:call("program.unload", { id = program.id }))
      print(#client:call("program.list").programs)
      print(client:call("program.load", { fd = 0, name = "x", attach = {} },
        { descriptors = { "/no/such.o" } }))
    ]], COUNTER)
    assert.equal("", result.stderr)
    assert.equal("0\tpercpu_array\t1\n0\nnil\tcannot open /no/such.o: No such file or directory\n",
      result.stdout)
  end)

  it("the example counts, and Ctrl-C leaves no program behind", function()
    local out = home.path .. "/out"
    local line = pair.near:inside { bpfctl.path, "run", "examples/load-and-count.lua", COUNTER,
      "veth0", "60" }
    local child = process.start(line, { output = out, env = { BPFD_SOCKET = served.socket } })
    local function shows(pattern)
      return process.eventually(function()
        local file <close> = io.open(out)
        return file and file:read("a"):match(pattern)
      end)
    end
    assert.truthy(shows "program %d+ counts on veth0\n%d+\n")
    assert.equal(1, #rpc.call(served, "program.list", {}).programs)
    local pid = tonumber(process.check({ "/bin/sh", "-c",
      "pgrep -f -x '" .. bpfctl.path .. " run examples/load-and-count.lua .*' | head -1" }))
    uv.kill(pid, "sigint")
    assert.equal(130, child:wait())
    assert.truthy(shows "bpfctl: interrupted")
    assert.equal(0, #rpc.call(served, "program.list", {}).programs)
  end)

  it("the REPL's client comes back after a restart, and after a call that was ended", function()
    local line = table.concat(pair.near:inside { bpfctl.path, "repl" }, " ")
    local terminal <close> = pty.start(line, {
      BPFD_SOCKET = served.socket, HOME = home.path, XDG_STATE_HOME = home.path, NO_COLOR = "1",
      TERM = "xterm",
    })
    terminal:wait_for "> "
    local function lists(count)
      terminal:type "#client:call('program.list').programs\n"
      terminal:wait_for(("\r\n%d\r\n> "):format(count))
    end
    lists(0)
    served:kill()
    served:restart()
    terminal:type "client:call('program.list')\n"
    terminal:wait_for "> "
    assert(rpc.load_xdp(served, "veth0", 1))
    lists(1)
    terminal:type "client:call('event.subscribe', nil, { timeout = 0.01 })\n"
    terminal:wait_for "> "
    lists(1)
    terminal:type "bpf.program.open_id(client:call('program.list').programs[1].id)\n"
    terminal:wait_for '\r\nprogram '
    terminal:wait_for '> '
    assert.equal(0, terminal:leave())
  end)

  it("formats draw what is loaded, and those of users are asked before anything is done", function()
    local id = assert(rpc.load_xdp(served, "veth0", 7, { metadata = { owner = "acme" } })).id
    local wide = bpfctl.run(served, { "list", "-o", "wide" }).stdout
    assert.truthy(wide:find(("\n %d "):format(id)) and wide:find "veth0  +7 +0 +owner=acme", wide)
    local yaml = bpfctl.run(served, { "get", tostring(id), "-o", "yaml" }).stdout
    assert.truthy(yaml:find(("^id: %d\n"):format(id)) and yaml:find "\n  iface: veth0\n", yaml)
    local own = home:write("own.lua", [[return {
      programs = function(list) return #list .. " programs, first " .. list[1].name .. "\n" end }]])
    assert.equal("1 programs, first count_xdp\n",
      bpfctl.run(served, { "list", "-o", own }).stdout)
    local refused = bpfctl.run(served, { "unload", "-o", own, tostring(id) })
    assert.equal("", refused.stderr)
    local load = bpfctl.run(served, { "-o", own, "load-from-file", "-p", COUNTER, "-n", "xdp_stats",
      "xdp", "-i", "veth0", "-p", "1" })
    assert.truthy(load.stderr:find("has no function for program", 1, true), load.stderr)
    assert.equal(0, #rpc.call(served, "program.list", {}).programs)
  end)

  it("the command and the format of the page on scripting do what it says", function()
    local page = process.check { "/bin/cat", "docs/scripting.md" }
    local format, command
    for code in page:gmatch "```lua\n(.-)```" do
      if code:find "summary =" then command = code end
      if code:find "nulls = true" then format = code:gsub("any = function%(.- end,", "") end
    end
    home:write("commands.d/owners.lua", command)
    local path = home:write("formats.d/csv.lua", format)
    assert(rpc.load_xdp(served, "veth0", 1, { metadata = { owner = "acme" } }))
    local id = assert(rpc.load_xdp(served, "veth0", 2, { metadata = { owner = "acme" } })).id
    assert(rpc.load_xdp(served, "veth0", 3))
    local env = { BPFD_CONFIG_DIR = home.path }
    local function run(...) return bpfctl.run(served, { ... }, { env = env }).stdout end
    assert.equal(" Owner  Programs\n acme   2\n", run("owners", "--least", "2"))
    assert.equal('[{"owner":"acme","count":2}]\n', run("owners", "-l", "2", "-o", "json"))
    assert.truthy(run("list", "-o", "csv"):find(("\n%d,count_xdp\n"):format(id)), path)
  end)

  it("completion offers the ids of what is loaded", function()
    local id = assert(rpc.load_xdp(served, "veth0", 1)).id
    local out = bpfctl.run(served, { "completion", "candidates", "--", "get", "" }).stdout
    assert.equal(("%d\tcount_xdp, xdp\n"):format(id), out)
  end)
end)
