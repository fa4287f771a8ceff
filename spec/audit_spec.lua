local audit = require "bpfd.audit"
local error_object = require "bpf.error"
local log = require "bpfd.log"

local PID <const> = 4294967 -- nobody's

describe("the audit", function()
  local lines, before

  before_each(function()
    lines, before = {}, { audit = log.audit, debug = log.debug }
    log.audit = function(format, ...) lines[#lines + 1] = "audit: " .. format:format(...) end
    log.debug = function(format, ...) lines[#lines + 1] = "debug: " .. format:format(...) end
    log.set_level "error"
  end)

  after_each(function()
    for name, writer in pairs(before) do log[name] = writer end
    log.set_level "error"
  end)

  local peer <const> = { uid = 1000, gid = 100, pid = PID }
  local listener <const> = { path = "/run/bpfd/view.sock" }

  local function ended(method, params, result, err)
    audit.request({ method = method, params = params, peer = peer }, listener, "*", result, err)
    return lines[1]
  end

  it("tells who has done what, whatever the level of the log", function()
    assert.equal("audit: method=program.load result=done uid=1000 gid=100 pid=4294967 \z
      socket=/run/bpfd/view.sock allowed_by=* name=pass persist=true type=xdp iface=eth0 \z
      priority=50 program=7 digest=sha256:1 amended_by=site/a,site/b",
      ended("program.load", { name = "pass", persist = true,
        attach = { type = "xdp", iface = "eth0", priority = 50 } },
        { id = 7, digest = "sha256:1", amended = { { hook = "site/a" }, { hook = "site/b" },
          { hook = "site/a" } } }))
  end)

  it("tells what failed, and what a policy or a socket has denied", function()
    assert.matches('result=failed .* id=7 code=ENOENT message="there is no program 7"$',
      ended("program.unload", { id = 7 }, nil, error_object.new { code = "ENOENT",
        message = "there is no program 7" }))
    lines = {}
    assert.matches('result=denied .* denied_by="policy site/a" code=EACCES message=no$',
      ended("program.get", { id = 7 }, nil, error_object.new { code = "EACCES", message = "no",
        hook = "site/a" }))
    lines = {}
    audit.denial({ method = "program.list", params = {}, peer = peer }, listener,
      error_object.new { code = "EACCES", message = "no" })
    assert.matches("^audit: method=program.list result=denied .* denied_by=socket", lines[1])
  end)

  it("leaves out what only reads, but for the level debug", function()
    assert.is_nil(ended("program.list", {}, { programs = {} }))
    log.set_level "debug"
    assert.matches("^debug: method=program.list result=done", ended("program.list", {}, {}))
  end)

  it("keeps one line one line, and a value a value, whatever a client calls things", function()
    local line = ended("program.load", { name = 'a\nbpfd: audit: uid=0 "\\\r\27[2J\u{85}' }, nil,
      error_object.new { message = "no name\n" })
    assert.equal([[audit: method=program.load result=failed uid=1000 gid=100 pid=4294967 ]]
      .. [[socket=/run/bpfd/view.sock allowed_by=* ]]
      .. [[name="a\nbpfd: audit: uid=0 \"\\\x0d\x1b[2J\xc2\x85" message="no name\n"]], line)
  end)

  it("bounds what it repeats, and repeats no secret", function()
    local line = ended("image.pull", { image_url = ("x"):rep(1000),
      registry_auth = { password = "hunter2" }, name = { "no text" } }, {})
    assert.is_true(#line < 500)
    assert.is_nil(line:find "hunter2")
    assert.is_nil(line:find "name=")
  end)
end)
