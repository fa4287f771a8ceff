-- `bpfctl features`: what the kernel offers, and that loads say the same.
local bpf = require "bpf"
local host = require "spec.support.host"
local dkjson = require "dkjson"
local probe = require "spec.support.probe"
local process = require "spec.support.process"
local residue = require "spec.support.residue"
local uv = require "luv"

describe("features", function()
  local bpfd <const> = host.daemon_for_all()

  it("are told as a table, with the reason for what is not there", function()
    local before = residue.scan(bpfd)
    local lines = {}
    for line in bpfd:check("features"):gmatch "[^\n]+" do
      assert.is_nil(line:find " $")
      lines[#lines + 1] = line
    end
    assert.matches("^ Kind +Name +Available  Reason$", lines[1])
    local start <const> = lines[1]:find "Available"
    for place, feature in ipairs(bpf.features.list()) do
      local line <const> = lines[place + 1]
      assert.equal(feature.kind, line:match "^ (%S+)")
      assert.equal(feature.name, line:sub(lines[1]:find "Name", start - 1):match "^(.-) *$")
      local told, reason = line:sub(start):match "^(%a+) *(.*)$"
      assert.equal(feature.available and "yes" or "no", told)
      assert.equal(feature.reason or "", reason)
    end
    assert.equal(before, residue.settled(bpfd, before))
  end)

  it("are told as JSON", function()
    local told = assert(dkjson.decode(bpfd:check("features", "-o", "json")))
    assert.equal(uv.os_uname().release, told.kernel)
    assert.same(bpf.features.list(), told.features)
  end)

  it("print nothing with -q", function()
    assert.equal("", bpfd:check("features", "-q"))
  end)

  for type_name, line in pairs {
    kprobe = { "on_kprobe", { "kprobe", "-f", "HERE" } },
    uprobe = { "on_uprobe", { "uprobe", "-f", "getpriority", "-t", "libc" } },
    tracepoint = { "on_tracepoint", { "tracepoint", "-t", probe.tracepoint } },
    raw_tracepoint = { "on_raw_tracepoint", { "raw_tracepoint", "-t", "sys_enter" } },
    fentry = { "on_fentry", { "fentry", "-f", "HERE" } },
    fexit = { "on_fexit", { "fexit", "-f", "HERE" } },
    tcx = { "on_packet", { "tcx", "-d", "ingress", "-i", "lo", "-p", "1" } },
  } do
    it("say of " .. type_name .. " what its load says", function()
      local words = {}
      for i, word in ipairs(line[2]) do
        words[i] = word == "HERE" and probe.kernel_function() or word
      end
      local reason <const> = probe.missing(type_name)
      local result = bpfd:bpfctl(table.unpack((probe.line(line[1], words, {}))))
      assert.equal(reason and 1 or 0, result.exit, result.stderr)
      if reason then
        assert.is_truthy(result.stderr:find(reason, 1, true), result.stderr)
        assert.matches("^[^\n]*`bpfctl features`[^\n]*\n$", result.stderr)
      else
        bpfd:check("unload", (result.stdout:match "\n ID: +(%d+)\n"))
      end
    end)
  end

  -- what the kernel tells, out of sight: as in a container without it
  for hidden, told in pairs {
    ["/sys/kernel/btf"] = { "fentry", "this kernel does not tell its types (BTF): no "
      .. "/sys/kernel/btf/vmlinux" },
    ["/sys/bus/event_source"] = { "uprobe", "the kernel's event sources are out of sight: no "
      .. "/sys/bus/event_source/devices" },
  } do
    it("say what is missing without " .. hidden, function()
      local script = ("io.write(select(2, require('bpf.features').type '%s').message)"):format(
        told[1])
      assert.equal(told[2], process.check { "unshare", "--mount", "sh", "-c",
        'mount -t tmpfs tmpfs "$1" && exec lua5.4 -e "$2"', "sh", hidden, script })
    end)
  end

  it("of no name are misuse", function()
    assert.has_error(function() bpf.features.type "nothing" end, "there is no attach type nothing")
  end)
end)
