-- Who may ask for what: sockets with groups of their own, and policies behind them. By other users,
-- whom the kernel names.
local bpfctl = require "spec.support.bpfctl"
local daemon = require "spec.support.daemon"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

-- Groups that every system has.
local OPERATORS <const>, VIEWERS <const> = { name = "daemon", id = 1 }, { name = "bin", id = 2 }
local NOBODY <const> = 65534

describe("a daemon with two sockets", function()
  local served

  setup(function()
    served = daemon.start {
      config = function(directory)
        return ([[return { listen = {
          { path = "%s/run/bpfd.sock", group = "%s" },
          { path = "%s/run/view.sock", group = "%s",
            allow = { "program.list", "program.get", "chain.*" } } } }]])
          :format(directory, OPERATORS.name, directory, VIEWERS.name)
      end,
      policies = { ["10-unload.lua"] = ([[
        hooks.add { name = "site/unload", on = "program.unload", run = function(event)
          if event.peer.uid ~= 0 and not event.peer.groups["%s"] then
            return hooks.deny "only operators unload"
          end
        end }]]):format(VIEWERS.name) },
      log_level = "error",
    }
  end)

  teardown(function() served:close() end)

  local function as(groups, socket, ...)
    return bpfctl.run(nil, { ... }, { as = { uid = NOBODY, groups = groups },
      env = { BPFD_SOCKET = ("%s/%s.sock"):format(served.run_dir, socket) } })
  end

  local function last_audit()
    local last
    for line in served:log_text():gmatch "bpfd: audit: ([^\n]*)" do last = line end
    return last
  end

  local function load()
    return assert(rpc.load(served, { name = "count_call",
      attach = { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" } })).id
  end

  it("lets nobody in whose groups are not theirs", function()
    for _, socket in ipairs { "bpfd", "view" } do
      local result = as({}, socket, "list")
      assert.equal(77, result.exit)
      assert.matches("not permitted to connect", result.stderr)
    end
    assert.equal(77, as({ OPERATORS.id }, "view", "list").exit)
    assert.equal(77, as({ VIEWERS.id }, "bpfd", "list").exit)
  end)

  it("answers on each what it is for, by a supplementary group too", function()
    local id <const> = load()
    for _, line in ipairs { { "list" }, { "get", tostring(id) }, { "chain", "list" } } do
      local result = as({ VIEWERS.id }, "view", table.unpack(line))
      assert.equal(0, result.exit, result.stderr)
      assert.equal(0, as({ OPERATORS.id }, "bpfd", table.unpack(line)).exit)
    end
    rpc.unload_all(served)
  end)

  it("denies the rest, and writes down who has asked", function()
    local id <const> = load()
    local result = as({ VIEWERS.id }, "view", "unload", tostring(id))
    assert.equal(77, result.exit)
    assert.matches("program.unload is not allowed on .*/view.sock", result.stderr)
    assert.matches(("^method=program.unload result=denied uid=%d gid=%d pid=%%d+ process=bpfctl \z
      socket=%%S+/view.sock id=%d denied_by=socket code=EACCES"):format(NOBODY, NOBODY, id),
      last_audit())
    assert.truthy(rpc.call(served, "program.get", { id = id }))
    rpc.unload_all(served)
    assert.matches(("^method=program.unload result=done uid=0 .* allowed_by=%%* id=%d$"):format(id),
      last_audit())
  end)

  it("asks the policies about what a socket allows, with all groups of the caller", function()
    local id <const> = tostring(load())
    local result = as({ OPERATORS.id }, "bpfd", "unload", id)
    assert.equal(77, result.exit)
    assert.matches("only operators unload", result.stderr)
    assert.matches('result=denied .* denied_by="policy site/unload" code=EACCES', last_audit())
    assert.equal(0, as({ OPERATORS.id, VIEWERS.id }, "bpfd", "unload", id).exit)
    assert.matches("result=done uid=" .. NOBODY, last_audit())
  end)

  it("writes a line for what was tried under a name made to look like lines", function()
    local result = bpfctl.run(served, { "load-from-file", "-p", rpc.object, "-n",
      "x\nbpfd: audit: method=program.load result=done uid=0", "tracepoint", "-t",
      "syscalls/sys_enter_getpgid" })
    assert.equal(1, result.exit)
    assert.matches("^method=program.load result=failed uid=0", last_audit())
    for line in served:log_text():gmatch "[^\n]+" do
      local told <const> = line:match "^bpfd: audit: (.*)$"
      local form <const> = "^method=%S+ result=%a+ uid=%d+ gid=%d+ pid=%d+ process="
      if told then assert.matches(form, told) end
    end
  end)

  it("gives each socket's file to its group alone", function()
    for name, group in pairs { bpfd = OPERATORS, view = VIEWERS } do
      assert.equal(("660 root:%s\n"):format(group.name), process.check { "stat", "-c", "%a %U:%G",
        ("%s/%s.sock"):format(served.run_dir, name) })
    end
  end)
end)
