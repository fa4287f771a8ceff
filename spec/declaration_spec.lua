local system = require("bpf.core").system
local attach_check = require "bpf.attach"
local chain_order = require "bpfd.chain_order"
local declaration = require "bpf.declaration"
local declaration_diff = require "bpfd.declaration_diff"
local draw = require "bpfctl.format.declaration"
local verdict = require "bpf.verdict"

describe("a declaration", function()
  local GOOD <const> = 'path = "x.o", name = "f", '
    .. 'attach = { type = "xdp", iface = "e0", priority = 1 }'

  it("is what its Lua makes of it, with lines and defaults", function()
    local programs = assert(declaration.read([[
local function stats(iface)
  program("stats-" .. iface) {
    path = "x.o", name = "f", metadata = { owner = "acme" },
    attach = { type = "xdp", iface = iface, priority = 100 },
  }
end
for _, iface in ipairs { "eth0", "eth1" } do stats(iface) end
program "guard" {
  image_url = "quay.io/acme/guard:1.4", global = { LIMIT = "u32:1000" }, map_owner = "stats-eth0",
  attach = { type = "tc", iface = "veth*", direction = "ingress", priority = 10 },
}]], "web.lua"))
    assert.equal(3, #programs)
    assert.same({ "stats-eth1", 2, "eth1", false }, { programs[2].label, programs[2].line,
      programs[2].attach.iface, programs[2].persist })
    assert.same(verdict.default "tc", programs[3].attach.proceed_on)
    assert.same({ LIMIT = "u32:1000" }, programs[3].global)
  end)

  local refused <const> = {
    ['program "a" { pathh = "x" }'] = 'web.lua:1: program "a": there is no key pathh; '
      .. "did you mean path?",
    ['\nprogram "a" { path = "x.o", name = "f" }'] = 'web.lua:2: program "a": needs attach = '
      .. "{ type = ... }",
    ['program "a" { path = "x.o", name = "f", attach = { type = "xpd" } }'] = 'web.lua:1: '
      .. [[program "a": attach type has no value 'xpd'; did you mean xdp?]],
    ['program "a" { path = "x", name = "f", attach = { type = "xdp", iface = "e", prior = 1 } }'] =
      'web.lua:1: program "a": xdp takes no prior; did you mean priority?',
    ['program "a" { name = "f", attach = { type = "xdp", iface = "e0", priority = 1 } }'] =
      'web.lua:1: program "a": needs a path or an image_url',
    ['program "a"'] = 'web.lua:1: program "a": needs a table behind its label',
    ['program "a" "b"'] = 'web.lua:1: program "a" must be followed by a table, not string',
    ['program {}'] = "web.lua:1: a program's label must be a text",
    ['program "" {}'] = "web.lua:1: a program's label must be a text of 1 to 128 letters",
    ['program "a" {' .. GOOD .. '}\nprogram "a" {' .. GOOD .. "}"] = 'web.lua:2: program "a": '
      .. "there is one of this label already, in line 1",
    ['program "a" { map_owner = "b", ' .. GOOD .. "}"] = 'web.lua:1: program "a": map_owner: there '
      .. 'is no program "b"; did you mean "a"?',
    ['program "a" { map_owner = "a", ' .. GOOD .. "}"] = 'web.lua:1: program "a": map_owner is the '
      .. "program itself",
    ['program "a" { global = { X = 5 }, ' .. GOOD .. "}"] = 'web.lua:1: program "a": global must '
      .. "be a table of texts; X is not",
    ['program "a" { global = { X = "10g" }, ' .. GOOD .. "}"] = 'web.lua:1: program "a": global X: '
      .. "'10g' is neither hexadecimal bytes nor u32:NUMBER, i64:NUMBER or str:TEXT",
    ['program "a" { persist = "yes", ' .. GOOD .. "}"] = 'web.lua:1: program "a": persist must be '
      .. "true or false",
    ['program "a" { image_url = "q", ' .. GOOD .. "}"] = 'web.lua:1: program "a": has path and '
      .. "image_url, and needs one of them",
    ['program "a" { pull_policy = "Never", ' .. GOOD .. "}"] = 'web.lua:1: program "a": '
      .. "pull_policy belongs to image_url",
    ['program "a" { fd = 0, ' .. GOOD .. "}"] = 'web.lua:1: program "a": there is no key fd; did '
      .. "you mean name?",
    ['program "a" { path = "x.o", name = "f", attach = { type = "xdp", iface = "e*", priority = 1, '
      .. 'netns = "n" } }'] = 'web.lua:1: program "a": iface e*: a pattern follows the interfaces '
      .. "of bpfd's own namespace only",
    ["program 'a' {"] = "web.lua:1: unexpected symbol near <eof>",
    ["while true do end"] = "web.lua:1: it runs for too long",
    ['os.execute "true"'] = "web.lua:1: attempt to index a nil value (global 'os')",
    ['("x"):rep(1 << 40)'] = "resulting string too large",
  }

  for text, message in pairs(refused) do
    it(("that reads %s is refused with its place"):format(text:sub(1, 60)), function()
      local programs, err = declaration.read(text, "web.lua")
      assert.is_nil(programs)
      assert.equal(message, (tostring(err):gsub("^web.lua:1: resulting", "resulting")))
      assert.is_nil(tostring(err):find "\n")
    end)
  end

  it("that is nested without end is refused in one line, whoever listens for errors", function()
    local text <const> = "return " .. ("{"):rep(1000)
    local heard, programs, err = xpcall(declaration.read, debug.traceback, text, "web.lua")
    assert.is_true(heard)
    assert.is_nil(programs)
    assert.equal("web.lua: it is nested too deeply", tostring(err))
  end)

  it("that grows without end is refused, and the process may have memory as before", function()
    local before = system.limit_data(-1)
    if not before then return pending "sanitizers end a process that is refused memory" end
    local text <const> = "\nlocal s = 'x' while true do s = s .. s end"
    local programs, err = declaration.read(text, "web.lua")
    assert.is_nil(programs)
    assert.equal("web.lua:2: it needs more than 256 MiB", tostring(err))
    assert.equal(before, system.limit_data(before))
    assert.equal(300 << 20, #("x"):rep(300 << 20))
  end)

  it("has patterns that take no time, whatever they are", function()
    for pattern, matched in pairs {
      ["veth*"] = "veth0 veth veth12", ["*"] = "veth0 eth0 veth veth12 a.b", ["veth?"] = "veth0",
      ["*th0"] = "veth0 eth0", ["*t*0"] = "veth0 eth0", ["a.b"] = "a.b", ["?eth*2"] = "veth12",
      ["v%d"] = "", [""] = "",
    } do
      local found = {}
      for iface in ("veth0 eth0 veth veth12 a.b"):gmatch "%S+" do
        if declaration.matches(pattern, iface) then found[#found + 1] = iface end
      end
      assert.equal(matched, table.concat(found, " "))
    end
    assert.is_false(declaration.matches(("*a"):rep(2000) .. "b", ("a"):rep(15)))
  end)

  it("is written so that it reads the same", function()
    local text = draw { programs = {
      { label = 'odd "label"\\', path = "/a\tb.o", name = "f",
        global = { ["end"] = "01", X = "02" }, metadata = { ["a.b"] = "c\nd\0" },
        map_owner = "other", persist = true,
        attach = { type = "xdp", iface = "e0", priority = 1, proceed_on = { "drop", "tx" } } },
      { label = "other", image_url = "q/x:1", pull_policy = "Never", name = "g",
        attach = { type = "kprobe", fn_name = "f", retprobe = true } },
    } }
    -- labels and paths with control characters are for the kernel's paths only
    local programs, err = declaration.read((text:gsub("\\x09", "-")), "x")
    assert(programs, tostring(err))
    assert.equal('odd "label"\\', programs[1].label)
    assert.same({ ["end"] = "01", X = "02" }, programs[1].global)
    assert.same({ ["a.b"] = "c\nd\0" }, programs[1].metadata)
    assert.same({ "drop", "tx" }, programs[1].attach.proceed_on)
    assert.is_true(programs[2].attach.retprobe)
  end)
end)

-- A world in which plans are carried out: rows, chains, and an id for each load.
local function new_world()
  return { rows = {}, chains = {}, last_id = 0 }
end

local function members_of(world, hook)
  world.chains[hook] = world.chains[hook] or {}
  return world.chains[hook]
end

local function hook_of(attach)
  if attach.type == "tracepoint" then return nil end
  return attach.type .. " " .. attach.iface
end

local function load(world, one)
  world.last_id = world.last_id + 1
  return { id = world.last_id, label = one.label, iface = one.attach.iface,
    has_place = one.attach.iface ~= nil, hook = hook_of(one.attach),
    note = { name = one.name, type = one.attach.type, attach = one.attach, digest = one.digest,
      metadata = one.metadata, global = {}, persist = one.persist } }
end

-- As bpfd.declarations and the job of bpfd.change do it.
local function carry_out(world, plan)
  local put, drop, touched, rows = {}, {}, {}, {}
  local function put_in(hook, row, more)
    if not hook then return end
    put[hook] = put[hook] or {}
    table.insert(put[hook], { id = row.id, priority = more.priority, replaces = more.replaces,
      mask = verdict.encode(row.note.type, more.proceed_on) })
  end
  for _, shares in ipairs { false, true } do -- owners of maps first
    for _, planned in ipairs(plan) do
      if (planned.action == "add" or planned.action == "replace")
          and (planned.owner ~= nil) == shares then
        planned.new = load(world, planned.wanted)
        planned.new.map_owner_id = shares and (planned.owner.new or planned.owner.row).id or nil
      end
    end
  end
  for _, planned in ipairs(plan) do
    local row <const>, wanted <const>, new <const> = planned.row, planned.wanted, planned.new
    if new then
      table.insert(rows, new)
      put_in(new.hook, new, { priority = wanted.attach.priority, replaces = row and row.id,
        proceed_on = wanted.attach.proceed_on })
      touched[new.hook or false] = true
    elseif planned.action ~= "remove" then
      table.insert(rows, row)
      if planned.action == "adjust" then
        row.note.attach = wanted.attach
        touched[row.hook] = true
      end
      if wanted then put_in(row.hook, row, row.note.attach) end
    end
    if row and planned.action:find "^re" then
      drop[row.id], touched[row.hook or false] = true, true
    end
  end
  for hook in pairs(touched) do
    if hook then
      world.chains[hook] = chain_order.arrange(members_of(world, hook),
        { drop = drop, put = put[hook] or {} })
    end
  end
  table.sort(rows, function(a, b) return a.id < b.id end)
  world.rows = rows
end

describe("a declaration against what runs", function()
  local function pick(list) return list[math.random(#list)] end

  local function random_wanted()
    local wanted, owners = {}, {}
    for label in ("abcdef"):gmatch "." do
      local kind <const> = pick { "xdp", "xdp", "tc", "tracepoint", "none" }
      for _, iface in ipairs(kind == "none" and {} or kind == "tracepoint" and { "" }
          or pick { { "e0" }, { "e1" }, { "e0", "e1" } }) do
        local attach = assert(attach_check.check(kind == "tracepoint"
          and { type = kind, tracepoint = pick { "a/b", "a/c" } }
          or { type = kind, iface = iface, priority = math.random(3),
            direction = kind == "tc" and "ingress" or nil }))
        table.insert(wanted, { label = label, name = pick { "f", "f", "g" },
          digest = pick { "1", "1", "1", "2" }, global = {}, metadata = {}, persist = false,
          attach = attach, place = label, map_owner = pick { false, false, owners[1] } or nil })
      end
      if kind ~= "none" and not wanted[#wanted].map_owner and #owners == 0 then
        owners[1] = label
      end
    end
    -- in any order: entries move in their file
    for i = #wanted, 2, -1 do
      local j = math.random(i)
      wanted[i], wanted[j] = wanted[j], wanted[i]
    end
    return wanted
  end

  local function labels_of(wanted)
    local labels = {}
    for _, one in ipairs(wanted) do labels[one.label] = true end
    return labels
  end

  local function plan_for(world, wanted, prune)
    return declaration_diff.plan(wanted, world.rows, { labels = labels_of(wanted), prune = prune,
      adjust = true, chains = function(hook) return members_of(world, hook) end })
  end

  local function key(label, iface) return label .. " " .. (iface or "") end

  local function check(world, wanted, prune, strangers)
    local row_of = {}
    for _, row in ipairs(world.rows) do row_of[key(row.label, row.iface)] = row end
    for _, one in ipairs(wanted) do
      local row <const> = assert(row_of[key(one.label, one.attach.iface)])
      assert.same({ one.name, one.digest, one.attach.priority },
        { row.note.name, row.note.digest, row.note.attach.priority })
      local owner <const> = row.map_owner_id
      assert.equal(one.map_owner ~= nil, owner ~= nil)
      local living = false
      for _, other in ipairs(world.rows) do living = living or other.id == owner end
      assert.is_true(owner == nil or living)
    end
    if prune then assert.equal(#wanted, #world.rows) end
    for hook, members in pairs(world.chains) do
      local seen, last, left = {}, -1, {}
      for place, member in ipairs(members) do
        assert.is_true(member.priority >= last)
        last, seen[member.id] = member.priority, place
        if member.id < 0 then table.insert(left, member.id) end
      end
      assert.same(strangers[hook] or {}, left) -- nobody else's have moved
      for i, one in ipairs(wanted) do
        for j = i + 1, #wanted do
          local a, b = row_of[key(one.label, one.attach.iface)],
            row_of[key(wanted[j].label, wanted[j].attach.iface)]
          if a.hook == hook and b.hook == hook
              and a.note.attach.priority == b.note.attach.priority then
            assert.is_true(seen[a.id] < seen[b.id]) -- equals in the file's order
          end
        end
      end
      for _, row in ipairs(world.rows) do
        if row.hook == hook then assert.truthy(seen[row.id]) end
      end
    end
  end

  it("is a plan that makes it so, whatever was and is wanted; and then nothing more", function()
    math.randomseed(6502)
    local plans = 0
    for _ = 1, 400 do
      local world, strangers = new_world(), {}
      for _, hook in ipairs { "xdp e0", "tc e1" } do
        strangers[hook] = { -1, -2, -3 }
        world.chains[hook] = {}
        for id = 1, 3 do world.chains[hook][id] = { id = -id, priority = id, mask = 1 } end
      end
      for _ = 1, 4 do
        local wanted <const>, prune <const> = random_wanted(), math.random(2) == 1
        local plan, err = plan_for(world, wanted, prune)
        if plan then
          plans = plans + 1
          carry_out(world, plan)
          check(world, wanted, prune, strangers)
          for _, planned in ipairs(assert(plan_for(world, wanted, prune))) do
            assert.equal("keep", planned.action)
          end
        else
          assert.matches("runs on several interfaces", err.message)
        end
      end
    end
    assert.is_true(plans > 1000)
  end)

  local function instance(more)
    local one = { label = "a", name = "f", digest = "1", global = {}, metadata = {},
      persist = false, place = "a",
      attach = attach_check.check { type = "xdp", iface = "e0", priority = 1 } }
    for name, value in pairs(more or {}) do one[name] = value end
    return one
  end

  local function xdp(more)
    local attach = { type = "xdp", iface = "e0", priority = 1 }
    for name, value in pairs(more) do attach[name] = value end
    return attach_check.check(attach)
  end

  local cases <const> = {
    { { digest = "2" }, "replace", "another object" },
    { { name = "g" }, "replace", "name f -> g" },
    { { metadata = { owner = "x" } }, "replace", "metadata" },
    { { global = { X = "01" } }, "replace", "globals" },
    { { persist = true }, "replace", "persist" },
    { { attach = xdp { priority = 5 } }, "adjust", "priority 1 -> 5" },
    { { attach = xdp { proceed_on = { "drop" } } }, "adjust",
      "proceed_on pass+dispatcher_return -> drop" },
    { { digest = "2", attach = xdp { priority = 5 } }, "replace",
      "another object, priority 1 -> 5" },
    { { attach = attach_check.check { type = "tc", iface = "e0", priority = 1,
      direction = "ingress" } }, "replace", "type xdp -> tc" },
    { {}, "keep", "unchanged" },
  }
  for _, case in ipairs(cases) do
    it(("says %s: %s"):format(case[2], case[3]), function()
      local world = new_world()
      carry_out(world, plan_for(world, { instance() }, false))
      local plan = plan_for(world, { instance(case[1]) }, false)
      assert.same({ case[2], case[3] }, { plan[1].action, plan[1].why })
    end)
  end

  it("takes globals by their bytes, and what policies amended as it was asked for", function()
    local world = new_world()
    carry_out(world, plan_for(world, { instance() }, false))
    local note <const> = world.rows[1].note
    note.global, note.metadata = { LIMIT = "E8030000" }, { owner = "acme" }
    note.attach = xdp { priority = 100 }
    note.amended = { { field = "attach.priority", from = 1, to = 100, hook = "site/bands" },
      { field = "metadata.owner", to = "acme", hook = "site/owner" } }
    local plan = plan_for(world, { instance { global = { LIMIT = "u32:1000" } } }, false)
    assert.same({ "keep", "unchanged" }, { plan[1].action, plan[1].why })
    plan = plan_for(world, { instance { global = { LIMIT = "u32:1001" } } }, false)
    assert.equal("replace", plan[1].action)
  end)
end)
