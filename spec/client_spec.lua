-- The client's framing, against the other end of a pair of sockets.
local core = require "bpf.core"
local socket <const>, system <const> = core.socket, core.system
local client = require "bpf.client"
local error_object = require "bpf.error"
local json = require "bpf.json"

-- A session, the daemon's end, and a way to read what arrived there.
local function connected()
  local ours, theirs = socket.pair()
  local session = client.over(ours, "/run/test.sock")
  return session, theirs
end

local function answer(theirs, message, descriptors)
  message.jsonrpc = "2.0"
  theirs:send(json.encode(message) .. "\n", descriptors)
end

describe("a client", function()
  it("sends one line and returns the result", function()
    local session <close>, theirs = connected()
    answer(theirs, { id = 1, result = { id = 7 } })
    assert.same({ id = 7 }, (session:call("program.get", { id = 7 })))
    assert.equal('{"jsonrpc":"2.0","id":1,"method":"program.get","params":{"id":7}}\n',
      (theirs:receive()))
    answer(theirs, { id = 2, result = json.object {} })
    assert.same({}, (session:call "system.status"))
    assert.equal('{"jsonrpc":"2.0","id":2,"method":"system.status","params":{}}\n',
      (theirs:receive()))
  end)

  it("reads answers in pieces, several at once, and skips what is not for it", function()
    local session <close>, theirs = connected()
    theirs:send '{"jsonrpc":"2.0","method":"event","params":{}}\n{"id":9,"result":1}\n{"id":1,'
    theirs:send '"result":"yes"}\n{"id":2,"result":"no"}\n'
    assert.equal("yes", (session:call "one"))
    assert.equal("no", (session:call "two"))
  end)

  it("passes descriptors and hands over those of the answer", function()
    local session <close>, theirs = connected()
    local null <close> = assert(system.open "/dev/null")
    answer(theirs, { id = 1, result = { fd = 0 } }, { null })
    local result, descriptors = session:call("map.open", { id = 3 }, { descriptors = { null } })
    assert.equal(0, result.fd)
    assert.equal("device", system.facts(descriptors[1]).kind)
    descriptors[1]:close()
    local _, received = theirs:receive()
    assert.equal(1, #received)
    received[1]:close()
  end)

  it("rebuilds the daemon's error object", function()
    local session <close>, theirs = connected()
    answer(theirs, { id = 1, error = { code = -32000, message = "short", data = {
      code = "EACCES", message = "the verifier refused pass", doing = "loading pass from /x.o",
      advice = "look", log = "0: R1=ctx", hook = json.null, more = 1,
    } } })
    local result, err = session:call "program.load"
    assert.is_nil(result)
    assert.is_true(error_object.is(err))
    assert.equal("loading pass from /x.o: the verifier refused pass", tostring(err))
    assert.equal("EACCES", err.code)
    assert.equal("look", err.advice)
    assert.equal("0: R1=ctx", err.log)
    assert.is_nil(err.hook)
  end)

  it("makes an error object of a bare JSON-RPC error, also one without id", function()
    local session <close>, theirs = connected()
    answer(theirs, { id = json.null, error = { code = -32700, message = "not JSON" } })
    local result, err, rpc_code = session:call "x"
    assert.is_nil(result)
    assert.equal("EBADMSG", err.code)
    assert.equal("not JSON", err.message)
    assert.equal(-32700, rpc_code)
  end)

  it("reports progress to who asked for it", function()
    local session <close>, theirs = connected()
    answer(theirs, { method = "progress", params = { request = 1, step = "verify", done = 3 } })
    answer(theirs, { id = 1, result = true })
    local steps = {}
    assert.is_true((session:call("program.load", { name = "x" },
      { progress = function(params) steps[#steps + 1] = params.step end })))
    assert.same({ "verify" }, steps)
    assert.is_true(json.decode((theirs:receive())).params.progress)
  end)

  it("says so when the daemon hangs up, is silent or talks nonsense", function()
    local session <close>, theirs = connected()
    local result, err = session:call("x", nil, { timeout = 0 })
    assert.is_nil(result)
    assert.equal("ETIMEDOUT", err.code)
    theirs:send "{nonsense\n"
    result, err = session:call "x"
    assert.is_nil(result)
    assert.matches("^reading bpfd's answer: malformed JSON", tostring(err))
    theirs:send "7\n"
    result, err = session:call "x"
    assert.is_nil(result)
    assert.equal("EBADMSG", err.code)
    theirs:close()
    result, err = session:call "x"
    assert.is_nil(result)
    assert.matches("closed the connection before it answered", err.message)
  end)

  it("hears a refusal of a request that is not read to its end", function()
    local session <close>, theirs = connected()
    answer(theirs, { id = json.null, error = { code = -32600, message = "too large" } })
    local result, err = session:call("x", { blob = ("x"):rep(8 << 20) })
    assert.is_nil(result)
    assert.equal("too large", err.message)
  end)

  it("keeps nulls when asked", function()
    local session <close>, theirs = connected()
    answer(theirs, { id = 1, result = { path = json.null } })
    assert.equal(json.null, session:call("x", nil, { null = true }).path)
    answer(theirs, { id = 2, result = { path = json.null } })
    assert.is_nil(session:call("x").path)
  end)

  it("names the socket and what to do when nobody answers there", function()
    local session, err = client.connect { socket = "/does/not/exist.sock" }
    assert.is_nil(session)
    assert.equal("ENOENT", err.code)
    assert.equal("no bpfd at /does/not/exist.sock", err.message)
    assert.equal("sudo systemctl start bpfd, or sudo bpfd", err.advice)
  end)
end)
