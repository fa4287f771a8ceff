local config = require "bpfd.config"

local function written(text)
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
  return path
end

local function load_text(text)
  local path = written(text)
  local settings, err = config.load(path, "/tmp/run")
  os.remove(path)
  return settings, err
end

local function complaint_about(text)
  local settings, err = load_text(text)
  assert.is_nil(settings)
  return tostring(err)
end

describe("the configuration", function()
  it("has a default for every key", function()
    local settings = assert(load_text "return {}")
    assert.equal("info", settings.log_level)
    assert.equal(1 << 20, settings.limits.request)
    assert.equal(256, settings.limits.connections)
    assert.equal(60, settings.limits.idle)
    assert.equal(2 << 30, settings.images.size)
    assert.same({ engine = "auto", xdp_mode = "auto", tc_end = "next", tc_attach = "auto",
      libxdp = "auto", dispatcher_version = 2 },
      settings:interface "eth0")
    assert.equal("/tmp/run/bpfd.sock", settings.listen[1].path)
    assert.equal(tonumber("660", 8), settings.listen[1].mode)
    assert.same({ "*" }, settings.listen[1].allow)
  end)

  it("may be missing where nobody has named it, and not where somebody has", function()
    assert.is_nil((config.load("/nonexistent/bpfd.lua", "/tmp/run")))
    local default = config.default_path
    config.default_path = "/nonexistent/bpfd.lua"
    assert.truthy(config.load(nil, "/tmp/run"))
    config.default_path = default
  end)

  it("lets an interface's settings win over those of all", function()
    local settings = assert(load_text [[return { interfaces = {
      ["*"] = { engine = "fuse", tc_end = "ok" }, eth0 = { engine = "freplace" } } }]])
    assert.equal("freplace", settings:interface("eth0").engine)
    assert.equal("ok", settings:interface("eth0").tc_end)
    assert.equal("fuse", settings:interface("eth1").engine)
  end)

  it("names the nearest key and the place of what it does not know", function()
    assert.matches("has no key log_levle; did you mean log_level%?",
      complaint_about 'return { log_levle = "info" }')
    assert.matches("limits has no key conections; did you mean connections%?",
      complaint_about "return { limits = { conections = 3 } }")
    assert.matches('interfaces%["eth0"%]%.engine must be one of auto, fuse, freplace.*fuse%?',
      complaint_about 'return { interfaces = { eth0 = { engine = "fues" } } }')
  end)

  it("refuses values of another kind, saying what is wanted", function()
    assert.matches('limits.request must be a size such as "64MiB"',
      complaint_about "return { limits = { request = 100 } }")
    assert.matches('limits.idle must be a duration', complaint_about
      'return { limits = { idle = "60 parsecs" } }')
    assert.matches('listen%[1%]%.mode must be a mode in quotes',
      complaint_about 'return { listen = { { path = "/x", mode = 660 } } }')
    assert.matches("listen%[1%]%.path is missing", complaint_about "return { listen = { {} } }")
    assert.matches("it must return a table", complaint_about "return 1")
    assert.matches("it must return a table", complaint_about "local x = 1")
  end)

  it("refuses registries and signature rules that would never be looked at", function()
    for name in pairs { ["https://quay.io"] = 1, ["quay.io/acme"] = 1, Quay_io = 1,
        ["index.docker.io"] = 1, [""] = 1 } do
      assert.matches("is no registry as references name it, HOST or HOST:PORT",
        complaint_about(("return { registries = { [%q] = { plain_http = true } } }"):format(name)))
    end
    for rule, why in pairs {
      ['match = "quay.io/acme/x:1"'] = "names a tag or a digest",
      ['match = "*", require = "required"'] = "requires signatures but names no key",
      ['match = "*", key = "acme.pub"'] = "key must be an absolute path",
      ['require = "off"'] = "match is missing",
    } do
      assert.matches("signatures%[1%].*" .. why,
        complaint_about(("return { signatures = { { %s } } }"):format(rule)))
    end
    local settings = assert(load_text [[return {
      registries = { ["127.0.0.1:5000"] = { plain_http = true }, ["docker.io"] = {},
        localhost = {}, ["[::1]:5000"] = {} },
      signatures = { { match = "127.0.0.1:5000/*" } } }]])
    assert.is_true(settings.registries["127.0.0.1:5000"].plain_http)
    assert.equal("optional", settings.signatures[1].require)
  end)

  it("is run without files, modules, or a way to run on for ever", function()
    for _, name in ipairs { "io", "os", "require", "load", "dofile", "debug", "pcall",
      "setmetatable", "collectgarbage", "coroutine", "package" } do
      assert.matches("nil value", complaint_about("return " .. name .. ".x"))
    end
    assert.matches("runs for too long", complaint_about "while true do end")
    assert.matches("runs for too long",
      complaint_about "local function f() return f() end return f()")
  end)

  it("is plain Lua, and no bytecode", function()
    local settings = assert(load_text [[
      local t = {}
      for i, name in ipairs { "eth0", "eth1" } do
        t[name] = { engine = i == 1 and "fuse" or "auto" }
      end
      return { interfaces = t }]])
    assert.equal("fuse", settings:interface("eth0").engine)
    assert.matches("binary", complaint_about(string.dump(function() return {} end)))
  end)

  it("tells where the syntax is wrong", function()
    assert.matches(":2:", complaint_about "return {\n ] }")
  end)
end)
