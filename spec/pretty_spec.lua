-- Values as a person reads them.
local bpf = require "bpf"
local core = require "bpf.core"
local json = require "bpf.json"
local pretty = require "bpf.pretty"

describe("a value is shown", function()
  for _, case in ipairs {
    { nil, "nil" }, { true, "true" }, { 5, "5" }, { 0.5, "0.5" }, { "a b", '"a b"' },
    { 'say "x"\n', '"say \\"x\\"\\n"' }, { "\27[1m", '"\\x1b[1m"' }, { "é", '"é"' },
    { "\255", '"\\xff"' }, { "\u{9b}1m", '"\\xc2\\x9b1m"' }, { {}, "{}" },
    { { 1, 2, 3 }, "{ 1, 2, 3 }" }, { { b = 1, a = { c = 2 } }, "{ a = { c = 2 }, b = 1 }" },
    { { "x", y = 1, [10] = 2, ["a b"] = 3, [true] = 4 },
      '{ "x", [10] = 2, ["a b"] = 3, y = 1, [true] = 4 }' },
    { json.unsigned(-1), "18446744073709551615" }, { print, "function (C)" },
    { bpf.error.new { message = "m", code = "EPERM", advice = "do" }, "error EPERM: m; do" },
    { setmetatable({}, { __tostring = function() return "mine" end }), "mine" },
    { setmetatable({}, { __tostring = error }), "table whose __tostring fails" },
    { setmetatable({ 1 }, { __name = "thing" }), "thing { 1 }" },
    { setmetatable({ a = 1 }, { __pairs = error, __len = error, __index = error }), "{ a = 1 }" },
  } do
    it("as " .. case[2], function() assert.equal(case[2], pretty.text(case[1])) end)
  end

  it("over several lines when it is too wide", function()
    local more <const> = { ("y"):rep(40), ("z"):rep(40) }
    local value = { name = ("x"):rep(30), list = { 1, 2 }, more = more }
    local lines <const> = '{\n  list = { 1, 2 },\n  more = {\n    "%s",\n    "%s",\n  },\n'
      .. '  name = "%s",\n}'
    assert.equal(lines:format(("y"):rep(40), ("z"):rep(40), ("x"):rep(30)), pretty.text(value))
    for line in pretty.text(value, { width = 60 }):gmatch "[^\n]+" do
      assert.is_true(#line <= 60)
    end
  end)

  it("with its cycles named, and the same table twice shown twice", function()
    local value = { a = { b = {} } }
    value.a.b.up, value.top = value.a, value
    assert.equal("{ a = { b = { up = <cycle: .a> } }, top = <cycle: the whole> }",
      pretty.text(value))
    local twice = { 1 }
    assert.equal("{ { 1 }, { 1 } }", pretty.text { twice, twice })
  end)

  it("cut at so many items, and at a depth that no stack minds", function()
    local many = {}
    for i = 1, 10 do many[i] = i end
    assert.equal("{ 1, 2, 3, ... 7 more }", pretty.text(many, { items = 3 }))
    local deep = {}
    for _ = 1, 1000 do deep = { deep } end
    assert.truthy(pretty.text(deep):find("{...}", 1, true))
  end)

  it("in colour where that is welcome", function()
    assert.equal('{ \27[32m"a"\27[0m, \27[36m1\27[0m }', pretty.text({ "a", 1 }, { color = true }))
  end)

  it("as what a descriptor stands for", function()
    local descriptor = assert(core.system.open "/")
    assert.equal("descriptor " .. descriptor:fd(), pretty.text(descriptor))
    descriptor:close()
    assert.equal("descriptor, closed", pretty.text(descriptor))
    local client = bpf.client.on_demand { socket = "/run/x.sock" }
    assert.equal("client of /run/x.sock", pretty.text(client))
  end)
end)

describe("completion", function()
  local complete = require "bpfctl.repl.complete"

  local function with(global, f)
    rawset(_G, "spec_value", global)
    local done, why = pcall(f)
    rawset(_G, "spec_value", nil)
    assert(done, why)
  end

  for _, case in ipairs {
    { "string.form", "at" }, { "x = string.form", "at" }, { "f(string.form", "at" },
    { "whi", "le" }, { "string.xyz", nil }, { "string.form.", nil }, { "x[1].form", nil },
    { "", "  " }, { "   ", "  " }, { "none.some.thing", nil }, { "1.", nil },
  } do
    it(("of %q is %s"):format(case[1], case[2] or "nothing"), function()
      with(nil, function() assert.equal(case[2], (complete(case[1]))) end)
    end)
  end

  it("lists what there is, by what metatables have, and runs no code of theirs", function()
    local class <const> = { method = print, __index = error }
    local value = setmetatable({ field = 1 }, { __index = class, __pairs = error })
    with(value, function()
      assert.equal("field   method", select(2, complete "spec_value."))
      assert.equal("ethod", (complete "spec_value:m"))
      assert.is_nil((complete "spec_value:fi"))
    end)
    with(setmetatable({}, { __index = error }), function()
      assert.is_nil((complete "spec_value.any"))
    end)
  end)

  it("knows modules that are not loaded yet, and methods of texts and handles", function()
    with(setmetatable({}, { __names = { "some_module" } }), function()
      assert.equal("ome_module", (complete "spec_value.s"))
    end)
    with("text", function() assert.equal("per", (complete "spec_value:up")) end)
    with(bpf.client.on_demand(), function() assert.equal("ll", (complete "spec_value:ca")) end)
  end)
end)
