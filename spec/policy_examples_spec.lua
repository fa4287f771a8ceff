-- The policies under examples/policy, each asked about what it is for.
local json = require "bpf.json"
local policy = require "bpf.policy"

local DIRECTORY <const> = "examples/policy/"

local function peer(uid, ...)
  return { uid = uid, gid = uid, pid = 7, groups = { uid, ... } }
end

local function load_of(more)
  local event = { on = "program.load", name = "pass", metadata = {}, peer = peer(1000),
    attach = { type = "xdp", iface = "eth0", priority = 50, proceed_on = { "pass" } },
    object = { programs = { pass = { type = "xdp", helpers = { "bpf_map_lookup_elem" } } } } }
  for key, value in pairs(more or {}) do event[key] = value end
  return event
end

local function change_of(iface, who, now, next_one, kind)
  local function members(count)
    local list = {}
    for place = 1, count do list[place] = { position = place - 1, id = place, priority = 5 } end
    return list
  end
  return { on = "chain.change", peer = who, attach = { type = kind or "xdp", iface = iface },
    chain = { now = members(now), next = members(next_one) } }
end

describe("the example policy", function()
  local running

  local function open(name)
    return function() running = assert(policy.open { DIRECTORY .. name }) end
  end

  after_each(function() running:close() end)

  local function denied(event)
    local outcome = assert(running:decide(event))
    for _, decision in ipairs(outcome.decisions) do
      assert.not_equal("failed", decision.decision, decision.reason)
    end
    return outcome.denied and outcome.denied.reason
  end

  describe("signed images only", function()
    before_each(open "10-signed-images-only.lua")

    it("lets signed images pass, and nothing else", function()
      local image = { image_url = "quay.io/acme/guard:1", digest = "sha256:0" }
      assert.matches("quay.io/acme/guard:1 is not signed", denied(load_of { image = image }))
      image.signed_by = "acme"
      assert.is_nil(denied(load_of { image = image }))
      assert.matches("from signed images", denied(load_of()))
      assert.is_nil(denied(load_of { peer = peer(0) }))
    end)
  end)

  describe("interfaces of groups", function()
    before_each(open "20-interfaces-of-groups.lua")

    it("keeps others off a group's interfaces", function()
      assert.matches("eth0 belongs to the group netops",
        denied(change_of("eth0", peer(1000), 0, 1)))
      assert.is_nil(denied(change_of("eth0", peer(1000, "netops"), 0, 1)))
      assert.matches("group virt", denied(change_of("vethab", peer(1000, "netops"), 1, 0)))
      assert.is_nil(denied(change_of("lo", peer(1000), 0, 1)))
      assert.is_nil(denied(change_of("eth0", peer(0), 0, 1)))
    end)

    it("minds tcx too, which is no chain, and not what has no interface", function()
      assert.truthy(denied(load_of { attach = { type = "tcx", iface = "eth0", priority = 1 } }))
      assert.is_nil(denied(load_of { attach = { type = "tracepoint", tracepoint = "a/b" } }))
    end)
  end)

  describe("priority bands", function()
    before_each(open "30-priority-bands.lua")

    local function amended(event)
      local outcome = assert(running:decide(event))
      assert.is_nil(outcome.denied)
      local to = {}
      for _, change in ipairs(outcome.amended) do to[change.field] = change.to end
      return to
    end

    it("moves a program into the band of its team", function()
      assert.same({ ["attach.priority"] = 100, ["metadata.band"] = "netops" },
        amended(load_of { peer = peer(1000, "netops") }))
      assert.same({ ["attach.priority"] = 500, ["metadata.band"] = "other" }, amended(load_of()))
      assert.same({}, amended(load_of { peer = peer(1000, "netops", "security") }))
      assert.same({}, amended(load_of { peer = peer(0) }))
      assert.same({}, amended(load_of { attach = { type = "kprobe", fn_name = "x" } }))
    end)
  end)

  describe("an upper bound on members", function()
    before_each(open "40-most-members.lua")

    it("lets a chain grow to its bound, and shrink whatever it is", function()
      assert.is_nil(denied(change_of("eth0", peer(0), 7, 8)))
      assert.matches("eth0 would have 9 xdp programs, and no more than 8",
        denied(change_of("eth0", peer(0), 8, 9)))
      assert.is_nil(denied(change_of("eth0", peer(0), 12, 11)))
      assert.is_nil(denied(change_of("eth0", peer(0), 8, 9, "tc")))
      assert.truthy(denied(change_of("eth0", peer(0), 16, 17, "tc")))
    end)
  end)

  describe("forbidden helpers", function()
    before_each(open "50-forbidden-helpers.lua")

    it("denies an object of which any program calls one", function()
      assert.is_nil(denied(load_of()))
      assert.matches("writes calls bpf_probe_write_user, which writes into processes",
        denied(load_of { object = { programs = { pass = { helpers = {} },
          writes = { helpers = { "bpf_map_lookup_elem", "bpf_probe_write_user" } } } } }))
    end)
  end)

  describe("the audit log", function()
    before_each(open "90-audit-log.lua")

    it("writes one line for each request", function()
      local function line_of(event)
        local lines = assert(running:decide(event)).lines
        assert.equal(1, #lines)
        assert.equal("info", lines[1].level)
        return lines[1].text
      end
      local event = load_of { id = 7, digest = "sha256:1" }
      event.on, event.object = "program.load.done", nil
      assert.equal("audit: program.load.done user=1000 pid=7 pass id 7 xdp eth0 sha256:1: done",
        line_of(event))
      event = load_of { error = { message = "no", hook = "site/x" } }
      event.on = "program.load.failed"
      assert.matches("pass xdp eth0: refused by site/x: no$", line_of(event))
      assert.matches("map.open.failed user=1000 pid=7 hits: refused by bpfd: no",
        line_of { on = "map.open.failed", name = "hits", peer = peer(1000),
          error = { message = "no" } })
      assert.matches("image.pull.done .* quay.io/a:", line_of { on = "image.pull.done",
        image_url = "quay.io/a", peer = peer(1000) })
    end)
  end)
end)

describe("the examples together", function()
  it("take the example events", function()
    local names = {}
    for _, name in ipairs(require("bpf.core").system.list(DIRECTORY)) do
      if name:find "%.lua$" then names[#names + 1] = DIRECTORY .. name end
    end
    table.sort(names)
    local running <close> = assert(policy.open(names))
    assert.equal(6, #running.hooks)
    local file <close> = assert(io.open(DIRECTORY .. "events.json"))
    for _, event in ipairs(assert(json.decode(file:read "a"))) do
      for _, decision in ipairs(assert(running:decide(event)).decisions) do
        assert.not_equal("failed", decision.decision, decision.reason)
      end
    end
  end)
end)
