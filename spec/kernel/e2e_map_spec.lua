-- `bpfctl map ...` as a user runs it, with and without privileges.
local bpf = require "bpf"
local bpfctl = require "spec.support.bpfctl"
local host = require "spec.support.host"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local uv = require "luv"

local OBJECT <const> = os.getenv "BUILD" .. "/objects/map_types.o"
local NOBODY <const> = 65534

describe("bpfctl map", function()
  local bpfd <const>, pair <const> = host.for_all()
  local id

  setup(function()
    id = bpfd:load("-p", OBJECT, "-n", "types", "xdp", "-i", "veth0", "-p", "1")
  end)

  local function map(...) return bpfd:check("map", ...) end

  local function refused(pattern, ...)
    local result = bpfd:bpfctl("map", ...)
    assert.equal("", result.stdout)
    assert.is_true(result.exit == 1 or result.exit == 64)
    assert.matches("^bpfctl: [^\n]*" .. pattern, result.stderr)
    local _, lines = result.stderr:gsub("\n", "")
    assert.equal(result.exit == 64 and 2 or 1, lines)
  end

  it("writes, reads and deletes typed entries", function()
    map("set", id, "tallies", "{source: 10.0.0.1, port: 80}", "{packets: 18446744073709551615, \z
      colour: GREEN, name: web}")
    local key <const> = ("=I4"):unpack "\10\0\0\1"
    local value <const> = '{packets: 18446744073709551615, balance: 0, colour: GREEN, name: "web"}'
    assert.equal((" Key%s  Value\n {source: %d, port: 80, zone: 0}  %s\n"):format(
      (" "):rep(#("{source: %d, port: 80, zone: 0}"):format(key) - 3), key, value),
      map("show", id, "tallies"))
    assert.equal(value .. "\n", map("get", id, "tallies", "{source: 10.0.0.1, port: 80}"))
    assert.equal(('[{"key":{"source":%d,"port":80,"zone":0},"value":{"packets":\z
      18446744073709551615,"balance":0,"colour":"GREEN","name":"web"}}]\n'):format(key),
      map("show", id, "tallies", "-o", "json"))
    assert.matches("packets: 18446744073709551615\n", map("show", id, "tallies", "-o", "yaml"))
    map("delete", id, "tallies", "{source: 10.0.0.1, port: 80}")
    refused("map tallies has no key {source: 1}", "delete", id, "tallies", "{source: 1}")
    map("delete", id, "tallies", "{source: 1}", "--missing-ok")
    assert.equal("[]\n", map("show", id, "tallies", "-o", "json"))
  end)

  it("takes back what it prints, from both formats", function()
    map("set", id, "everything", "{source: 1}",
      '{"name":"a b","grid":[[1,2,3],[4,5,6]],"wide":"WIDE_TOP","minus":-3,"f64":0.1,"i128":"-7"}')
    local value <const> = map("get", id, "everything", "{source: 1}")
    map("set", id, "everything", "{source: 2}", value:sub(1, -2))
    assert.equal(value, map("get", id, "everything", "{source: 2}"))
    local json <const> = map("get", id, "everything", "{source: 1}", "-o", "json")
    map("set", id, "everything", "{source: 2}", json:match '"value":(.*)}\n')
    assert.equal(value, map("get", id, "everything", "{source: 2}"))
  end)

  it("lists values by CPU, and writes them all or each", function()
    local cpus <const> = #bpfd:json("map", "get", id, "cpu_array", "0").values
    map("set", id, "cpu_array", "1", "7")
    assert.equal("[7" .. (", 7"):rep(cpus - 1) .. "]\n", map("get", id, "cpu_array", "1"))
    local each <const> = "[9" .. (", 0"):rep(cpus - 1) .. "]"
    map("set", id, "cpu_array", "1", each, "--per-cpu")
    assert.equal(each .. "\n", map("get", id, "cpu_array", "1"))
    refused("it must list " .. cpus, "set", id, "cpu_array", "1", each:sub(1, -2) .. ", 1]",
      "--per-cpu")
  end)

  it("says in a line what is wrong with a request", function()
    for _, case in ipairs {
      { "no map 4294967295 belongs", "show", "4294967295" },
      { "'tallies' is no map id", "show", "tallies" },
      { "'x' is no program id", "show", "x", "tallies" },
      { "program 1 was not loaded by bpfd", "show", "1", "tallies" },
      { "has no map tally; it has array, by_colour", "show", id, "tally" },
      { "did you mean source", "set", id, "tallies", "{sauce: 1}", "{}" },
      { "did you mean GREEN", "set", id, "by_colour", "GREN", "1" },
      { "%-1 does not fit 8 bytes without sign", "set", id, "array", "0", "-1" },
      { "18446744073709551616 does not fit", "set", id, "array", "0", "18446744073709551616" },
      { "an integer is needed, not much", "set", id, "array", "0", "much" },
      { "cannot be read", "set", id, "array", "[0", "1" },
      { "no key 4: its keys are 0 to 3", "set", id, "array", "4", "1" },
      { "map lru has no key 5", "get", id, "lru", "5" },
      { "cannot be deleted", "delete", id, "array", "0" },
      { "has no such key", "set", id, "lru", "5", "1", "--existing" },
      { "exclude each other", "set", id, "lru", "5", "1", "--existing", "--new" },
      { "no types; .*%-%-key and %-%-value", "show", id, "untyped" },
      { "describes 4 bytes, and there are 8", "show", id, "untyped", "--key", "u32",
        "--value", "hex" },
      { "did you mean u32", "show", id, "untyped", "--key", "u33", "--value", "hex" },
      { "it has values and no keys", "show", id, "queue" },
      { "bpfctl map watch", "show", id, "ring" },
      { "no type evnt in the BTF; did you mean event", "watch", id, "ring", "--type", "evnt" },
      { "%-%-interval must be from", "watch", id, "array", "-i", "0" },
      { "get needs <KEY>", "get", id }, { "show needs <MAP_ID", "show" },
    } do refused(table.unpack(case)) end
  end)

  it("reads what has no types by formats", function()
    local formats <const> = { "--key", "ip:ip4 port:be16 pad[2]", "--value", "u64[2]" }
    map("set", id, "untyped", "{ip: 10.0.0.1, port: 80}", "[5, 6]", table.unpack(formats))
    local key <const> = "{ip: 10.0.0.1, port: 80}"
    assert.equal((" Key%s  Value\n %s  [5, 6]\n"):format((" "):rep(#key - 3), key),
      map("show", id, "untyped", table.unpack(formats)))
    assert.matches("\n 0x0a00000100500000  {a: 5}\n$",
      map("show", id, "untyped", "--key", "hex", "--value", "a:u64 pad[8]"))
  end)

  ---Runs a watch until it has ended by itself, with work going on beside it.
  local function watched(arguments, work)
    local output <const> = bpfd.directory .. "/watched"
    os.remove(output)
    local line <const> = { bpfctl.path, "--socket", bpfd.socket, "map", "watch" }
    table.move(arguments, 1, #arguments, #line + 1, line)
    local running = process.start(line, { output = output })
    local function text()
      local file <close> = io.open(output)
      return file and file:read "a" or ""
    end
    work(text)
    assert.equal(0, running:wait(), text())
    return text()
  end

  it("shows what changes in a map", function()
    map("set", id, "by_colour", "RED", "1")
    local shown = watched({ id, "by_colour", "-i", "0.02", "-c", "3" }, function(text)
      process.eventually(function() return text():find "RED" end)
      map("set", id, "by_colour", "GREEN", "2")
      process.eventually(function() return text():find "GREEN" end)
      map("set", id, "by_colour", "RED", "5")
      process.eventually(function() return text():find "was" end)
      map("delete", id, "by_colour", "RED")
    end)
    assert.equal("  RED: 1\n+ GREEN: 2\n~ RED: 5  (was 1)\n- RED: 5\n", shown)
    shown = watched({ id, "by_colour", "-i", "0.02", "-c", "1", "-o", "json" }, function(text)
      process.eventually(function() return text():find "present" end)
      map("set", id, "by_colour", "GREEN", "3")
    end)
    assert.equal('{"change":"present","key":"GREEN","value":2}\n\z
      {"change":"changed","key":"GREEN","value":3,"before":2}\n', shown)
    map("delete", id, "by_colour", "GREEN")
  end)

  it("shows records as programs send them", function()
    for name, wanted in pairs {
      ring = '^{number: %d+, name: "hello", stamp: 18446744073709551615}\n{number: %d+, [^\n]+\n$',
      events = '^%[%d+%] {number: %d+, name: "hello", stamp: 18446744073709551615}\n[^\n]+\n$',
    } do
      local shown = watched({ id, name, "--type", "event", "-c", "2" }, function(text)
        process.eventually(function()
          namespace.send(pair, 1)
          local _, lines = text():gsub("\n", "")
          return lines == 2
        end)
      end)
      assert.matches(wanted, shown)
    end
  end)

  it("reads maps for who has no privileges but the way to bpfd", function()
    local nobody <const> = { "setpriv", "--reuid=" .. NOBODY, "--regid=" .. NOBODY,
      "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--" }
    -- as a group would be let in; the build tree may be closed to others
    assert(uv.fs_chmod(bpfd.socket, tonumber("666", 8)))
    local binary <const> = bpfd.directory .. "/bpfctl"
    process.check { "cp", bpfctl.path, binary }
    process.check { "cp", "-r", os.getenv "BUILD" .. "/bpf", bpfd.directory .. "/bpf" }
    map("set", id, "tallies", "{source: 7}", "{colour: GREEN, name: them}")
    local function as_nobody(...)
      local line = table.move(nobody, 1, #nobody, 1, {})
      for _, word in ipairs { binary, "--socket", bpfd.socket, "map", ... } do
        line[#line + 1] = word
      end
      return process.run(line)
    end
    local result = as_nobody("get", id, "tallies", "{source: 7}")
    assert.equal("", result.stderr)
    assert.equal('{packets: 0, balance: 0, colour: GREEN, name: "them"}\n', result.stdout)
    result = as_nobody("show", id, "tallies", "-o", "json")
    assert.equal(1, #assert(bpf.json.decode(result.stdout)))
    assert.equal(1, as_nobody("show", "1").exit)
    map("delete", id, "tallies", "{source: 7}")
  end)

  local function run_example(name, ...)
    return process.check({ "lua5.4", "examples/" .. name, ... }, { env = {
      BPFD_SOCKET = bpfd.socket } })
  end

  it("has an example that prints records, as the program of another example sends them", function()
    local example <const> = bpfd:load("-p", bpfctl.examples .. "execs.o", "-n", "executed",
      "tracepoint", "-t", "sched/sched_process_exec")
    local output <const> = bpfd.directory .. "/execs"
    local running = process.start({ "lua5.4", "examples/execs.lua", example },
      { output = output, env = { BPFD_SOCKET = bpfd.socket } })
    assert.is_truthy(process.eventually(function()
      process.check { "true" }
      local file <close> = assert(io.open(output))
      return (file:read "a"):find "%d+ 0 true\n"
    end))
    running:signal "sigterm"
    running:wait()
    bpfd:check("unload", example)
  end)

  it("has an example that blocks addresses and shows what they sent", function()
    local example <const> = bpfd:load("-p", bpfctl.examples .. "filter.bpf.o", "-n", "classifier",
      "tc", "-d", "ingress", "-i", "veth0", "-p", "9")
    assert.equal("10.0.0.7\t0\n", run_example("block.lua", example, "10.0.0.7"))
    map("set", example, "blocked", "10.0.0.7", "4")
    assert.equal("10.0.0.7\t4\n", run_example("block.lua", example, "10.0.0.7"))
    assert.equal(" Key       Value\n 10.0.0.7  4\n",
      map("show", example, "blocked", "--key", "ip4"))
    bpfd:check("unload", example)
  end)

  it("opens maps of others for root, and without bpfd too", function()
    local other <close> = assert(bpf.map.create { type = "hash", name = "foreign", key_size = 4,
      value_size = 8, max_entries = 4 })
    local foreign <const> = tostring(other:info().id)
    local formats <const> = { "--key", "u32", "--value", "u64" }
    map("set", foreign, "5", "6", table.unpack(formats))
    local result = bpfctl.run(nil, { "--socket", "/nowhere", "map", "show", foreign,
      table.unpack(formats) })
    assert.equal("", result.stderr)
    assert.equal(" Key  Value\n 5    6\n", result.stdout)
    local listed <const> = map("list", "--all")
    assert.matches("\n " .. foreign .. " +foreign +hash +4 +8 +4 +None\n", listed)
    assert.matches(" tallies +hash +8 +32 +100000 +" .. id .. "\n", listed)
    assert.is_nil(map("list"):find("foreign", 1, true))
  end)
end)
