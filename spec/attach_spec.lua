-- The attach of a request: what is completed and what is refused.
local attach = require "bpf.attach"

local function refusal(request)
  local checked, err = attach.check(request)
  assert.is_nil(checked)
  assert.equal("EINVAL", err.code)
  return err.message
end

describe("attach.check", function()
  it("completes each type with its defaults", function()
    assert.same({
      type = "xdp", iface = "eth0", priority = 50,
      proceed_on = { "pass", "dispatcher_return" },
    }, attach.check { type = "xdp", iface = "eth0", priority = 50 })
    assert.same({
      type = "tc", iface = "eth0", priority = 0, direction = "egress",
      proceed_on = { "ok", "pipe", "dispatcher_return" },
    }, attach.check { type = "tc", iface = "eth0", priority = 0, direction = "egress" })
    assert.same({ type = "kprobe", fn_name = "f", offset = 0, retprobe = false },
      attach.check { type = "kprobe", fn_name = "f" })
    assert.same({ type = "uprobe", fn_name = "malloc", target = "libc", target_fd = 1,
      offset = 0, retprobe = true, pid = 7 },
      attach.check { type = "uprobe", fn_name = "malloc", target = "libc", target_fd = 1,
        retprobe = true, pid = 7 })
    assert.same({ type = "tracepoint", tracepoint = "sched/sched_switch" },
      attach.check { type = "tracepoint", tracepoint = "sched/sched_switch" })
  end)

  it("does not hand out its own tables", function()
    local first = attach.check { type = "xdp", iface = "a", priority = 1 }
    first.proceed_on[1] = "drop"
    assert.equal("pass", attach.check({ type = "xdp", iface = "a", priority = 1 }).proceed_on[1])
  end)

  it("orders proceed_on by code and names each once", function()
    assert.same({ "drop", "pass", "dispatcher_return" }, attach.check {
      type = "xdp", iface = "eth0", priority = 1,
      proceed_on = { "dispatcher_return", "pass", "drop", "pass" },
    }.proceed_on)
  end)

  it("refuses what is missing, unknown or out of range, and says what", function()
    assert.equal("attach must be an object", refusal(7))
    assert.equal("attach needs a type", refusal {})
    assert.equal("attach type has no value 'xpd'; did you mean xdp?", refusal { type = "xpd" })
    assert.equal("xdp needs iface", refusal { type = "xdp", priority = 1 })
    assert.equal("xdp needs priority", refusal { type = "xdp", iface = "eth0" })
    assert.equal("xdp takes no prioritty; did you mean priority?",
      refusal { type = "xdp", iface = "eth0", prioritty = 1 })
    assert.equal("priority must be from 0 to 2147483647",
      refusal { type = "xdp", iface = "eth0", priority = -1 })
    assert.equal("priority must be from 0 to 2147483647",
      refusal { type = "xdp", iface = "eth0", priority = 2147483648 })
    assert.equal("priority must be a whole number",
      refusal { type = "xdp", iface = "eth0", priority = "high" })
    assert.equal("iface must be a word", refusal { type = "xdp", iface = "", priority = 1 })
    assert.equal("direction has no value 'ingres'; did you mean ingress?",
      refusal { type = "tc", iface = "eth0", priority = 1, direction = "ingres" })
    assert.equal("proceed_on has no value 'paas'; did you mean pass?",
      refusal { type = "xdp", iface = "eth0", priority = 1, proceed_on = { "paas" } })
    assert.matches("^proceed_on must name at least one of aborted, drop",
      refusal { type = "xdp", iface = "eth0", priority = 1, proceed_on = {} })
    for _, holed in ipairs {
      { nil, "drop" }, { "pass", nil, "drop" }, { "pass", more = "drop" },
    } do
      assert.matches("^proceed_on must name at least one of aborted, drop",
        refusal { type = "xdp", iface = "eth0", priority = 1, proceed_on = holed })
    end
    assert.equal("tracepoint must be CATEGORY/NAME, as in sched/sched_switch",
      refusal { type = "tracepoint", tracepoint = "sched_switch" })
    assert.equal("target_fd must be the place of a descriptor that came with the request",
      refusal { type = "uprobe", target = "libc", fn_name = "f", target_fd = 1040 })
  end)

  it("refuses a return probe with an offset, and a uprobe without a place", function()
    assert.matches("^offset not allowed with retprobe",
      refusal { type = "kprobe", fn_name = "f", offset = 4, retprobe = true })
    assert.matches("^offset not allowed with retprobe",
      refusal { type = "uprobe", target = "libc", fn_name = "f", offset = 4, retprobe = true })
    assert.is_table(attach.check { type = "uprobe", target = "libc", offset = 4, retprobe = true })
    assert.is_table(attach.check { type = "kprobe", fn_name = "f", offset = 0, retprobe = true })
    assert.equal("uprobe needs fn_name, offset or both",
      refusal { type = "uprobe", target = "libc" })
  end)
end)
