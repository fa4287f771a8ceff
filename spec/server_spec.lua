local uv = require "luv"
local core = require "bpf.core"
local error_object = require "bpf.error"
local json = require "bpf.json"
local loop = require "bpfd.loop"
local log = require "bpfd.log"
local server = require "bpfd.server"

log.set_level "error"

-- Server and clients are one process here: the loop is turned until what a spec waits for is there.
local function turn_until(check)
  local deadline = uv.hrtime() + 10e9
  local tick = uv.new_timer()
  tick:start(1, 1, function() end)
  local value
  repeat
    uv.run "once"
    value = check()
  until value or uv.hrtime() > deadline
  tick:close()
  return value
end

local answers_of -- methods of the served daemon

describe("the server", function()
  local directory, opened, path, waiting

  local function serve(options)
    options = options or {}
    opened = assert(server.open {
      daemon = {}, methods = answers_of,
      listen = { { path = path, mode = tonumber("600", 8), allow = options.allow or { "*" } } },
      limits = { request = options.request or 65536, connections = options.connections or 8,
        idle = options.idle or 60 },
    })
  end

  local audited, audit_before

  before_each(function()
    audited, audit_before = {}, log.audit
    log.audit = function(_, line) audited[#audited + 1] = line end
    directory = os.tmpname()
    os.remove(directory)
    assert(core.system.make_directory(directory))
    path = directory .. "/socket"
    waiting = {}
    answers_of = {
      echo = { parameters = { value = true },
        run = function(_, request) return { value = request.params.value } end },
      fail = { parameters = {}, run = function()
        return nil, error_object.new { code = "EACCES", message = "no", log = "a\nb" }
      end },
      fault = { parameters = {}, run = function() error "a fault" end },
      wait = { parameters = { name = true }, run = function(_, request)
        return { value = loop.wait(function(resume) waiting[request.params.name] = resume end) }
      end },
      read = { parameters = { fd = true }, run = function(_, request)
        local descriptor, err = request:descriptor(request.params.fd)
        if not descriptor then return nil, err end
        return { text = core.system.read(descriptor) }
      end },
      give = { parameters = {}, run = function()
        return { fd = 0 }, nil, { assert(core.system.seal("given", 10, "x")) }
      end },
      big = { parameters = {}, run = function() return { text = ("x"):rep(1 << 20) } end },
      change = { parameters = {}, in_turn = true, run = function() return {} end },
      stage = { parameters = {}, stages = true },
      peer = { parameters = {}, run = function(_, request) return { uid = request.peer.uid } end },
    }
  end)

  after_each(function()
    log.audit = audit_before
    opened:close()
    for _ = 1, 10 do uv.run "nowait" end -- closed handles go in the loop's next turns
    core.system.remove(directory)
  end)

  local client = {}
  client.__index = client

  local function connect()
    return setmetatable({ socket = assert(core.socket.connect(path, 1)), text = "" }, client)
  end

  function client:send(text, descriptors)
    local at = 1
    while at <= #text do
      local sent, err = self.socket:send(text, at == 1 and descriptors or nil, at)
      if sent then
        at = at + sent
      else
        assert(err.code == "EAGAIN", tostring(err))
        uv.run "nowait"
      end
    end
  end

  -- The next line; nil at the end.
  function client:line()
    return turn_until(function()
      local line, rest = self.text:match "^([^\n]*)\n(.*)$"
      if line then
        self.text = rest
        return { line }
      end
      local bytes, more = self.socket:receive()
      if bytes == "" then return {} end
      if not bytes then return more.code ~= "EAGAIN" and {} end
      self.text = self.text .. bytes
      for _, descriptor in ipairs(more or {}) do self.descriptor = descriptor end
    end)[1]
  end

  function client:message()
    local line = self:line()
    return line and json.decode(line)
  end

  function client:call(method, params, descriptors)
    self:send(json.encode { jsonrpc = "2.0", id = 1, method = method,
      params = json.object(params or {}) } .. "\n", descriptors)
    return self:message()
  end

  it("answers what is quick before it begins with changes that came earlier", function()
    serve()
    local one <const>, order = connect(), {}
    local lines = {}
    for id, method in ipairs { "change", "change", "echo", "change", "peer" } do
      lines[id] = ('{"jsonrpc":"2.0","id":%d,"method":"%s"}\n'):format(id, method)
    end
    one:send(table.concat(lines))
    for place = 1, #lines do order[place] = one:message().id end
    assert.same({ 3, 5, 1, 2, 4 }, order)
  end)

  it("answers a request", function()
    serve()
    local one <close> = connect().socket -- one that says nothing
    local answer = connect():call("echo", { value = "x" })
    assert.equal(1, answer.id)
    assert.equal("2.0", answer.jsonrpc)
    assert.equal("x", answer.result.value)
    assert.truthy(one)
  end)

  it("answers in pieces what comes in pieces, and one by one what comes at once", function()
    serve()
    local one = connect()
    local text = '{"jsonrpc":"2.0","id":"a","method":"echo","params":{"value":1}}\n'
    for letter in text:gmatch "." do
      one:send(letter)
      uv.run "nowait"
    end
    assert.equal("a", one:message().id)
    one:send('{"jsonrpc":"2.0","id":1,"method":"echo"}\n{"jsonrpc":"2.0","id":2,"method":"echo"}\n')
    assert.equal(1, one:message().id)
    assert.equal(2, one:message().id)
  end)

  it("passes the error object whole", function()
    serve()
    local answer = connect():call "fail"
    assert.same({ code = "EACCES", message = "no", log = "a\nb" },
      { code = answer.error.data.code, message = answer.error.data.message,
        log = answer.error.data.log })
    assert.equal(-32000, answer.error.code)
  end)

  it("survives a fault in a method, and says that it was one", function()
    serve()
    local error_log = log.error
    log.error = function() end
    local one = connect()
    local answer = one:call "fault"
    log.error = error_log
    assert.equal("EFAULT", answer.error.data.code)
    assert.truthy(one:call("echo").result)
  end)

  it("answers others while one request waits, and each with its own answer", function()
    serve()
    local one, two = connect(), connect()
    one:send '{"jsonrpc":"2.0","id":1,"method":"wait","params":{"name":"first"}}\n'
    one:send '{"jsonrpc":"2.0","id":2,"method":"wait","params":{"name":"second"}}\n'
    assert.truthy(turn_until(function() return waiting.first and waiting.second end))
    assert.truthy(two:call("echo").result)
    waiting.second "b"
    assert.same({ 2, "b" }, (function(m) return { m.id, m.result.value } end)(one:message()))
    waiting.first "a"
    assert.same({ 1, "a" }, (function(m) return { m.id, m.result.value } end)(one:message()))
  end)

  it("names the nearest method and the nearest parameter", function()
    serve()
    local one = connect()
    local answer = one:call "ecko"
    assert.equal(-32601, answer.error.code)
    assert.matches("echo", answer.error.data.advice)
    answer = one:call("echo", { valeu = 1 })
    assert.equal(-32602, answer.error.code)
    assert.matches("did you mean value", answer.error.data.message)
  end)

  it("serves on a socket only what its patterns allow", function()
    serve { allow = { "ec*", "p.er" } }
    local one = connect()
    assert.truthy(one:call("echo").result)
    assert.equal("EACCES", one:call("peer").error.data.code) -- a dot is a dot
    assert.equal("EACCES", one:call("big").error.data.code)
    assert.matches("^method=echo result=done uid=%d+ gid=%d+ pid=%d+ process=lua5.4 socket=%S+ \z
      allowed_by=ec%*$", audited[1])
    assert.matches("^method=peer result=denied .* denied_by=socket code=EACCES", audited[2])
  end)

  it("knows who asks from the kernel", function()
    serve()
    assert.equal(core.system.identity().uid, connect():call("peer").result.uid)
  end)

  it("answers malformed JSON once and hangs up, on its sender alone", function()
    serve()
    local good = connect()
    assert.truthy(good:call("echo").result)
    local texts <const> = { "{bad}\n", "[1,2]\n", "\n", "\0\n", '"x"\n', ("["):rep(5000) .. "\n" }
    for _, text in ipairs(texts) do
      local bad = connect()
      bad:send(text)
      assert.equal(-32700, bad:message().error.code)
      assert.is_nil(bad:line())
    end
    assert.truthy(good:call("echo").result)
  end)

  it("answers what is JSON and no request", function()
    serve()
    local one = connect()
    for _, text in ipairs { "{}", '{"jsonrpc":"1.0","id":1,"method":"echo"}',
      '{"jsonrpc":"2.0","id":1,"method":5}', '{"jsonrpc":"2.0","id":{},"method":"echo"}',
      '{"jsonrpc":"2.0","id":1.5,"method":"echo"}' } do
      one:send(text .. "\n")
      assert.equal(-32600, one:message().error.code)
    end
    for _, params in ipairs { "[1]", '"x"', "7", "true" } do
      one:send('{"jsonrpc":"2.0","id":1,"method":"echo","params":' .. params .. "}\n")
      assert.equal(-32602, one:message().error.code)
    end
  end)

  it("hangs up on a request larger than the limit, finished or not", function()
    serve { request = 1000 }
    for _, text in ipairs { ("x"):rep(1001), '{"a":"' .. ("x"):rep(1000) .. '"}\n' } do
      local one = connect()
      one:send(text)
      assert.equal("EMSGSIZE", one:message().error.data.code)
      assert.is_nil(one:line())
    end
    local line = '{"jsonrpc":"2.0","id":1,"method":"echo","params":{"value":"%s"}}'
    local one = connect()
    one:send(line:format(("x"):rep(1000 - #line + 2)) .. "\n")
    assert.truthy(one:message().result)
  end)

  it("hangs up on a line that is never finished, however slowly it goes on", function()
    serve { idle = 0.05 }
    local one, patient = connect(), connect()
    one:send '{"jsonrpc":'
    local gone = turn_until(function()
      one.socket:send " "
      local bytes = one.socket:receive()
      return bytes == ""
    end)
    assert.is_true(gone)
    assert.truthy(patient:call("echo").result) -- silence alone is no fault
  end)

  it("hands over descriptors to the line that they came with", function()
    serve()
    local one = connect()
    local function sealed(text)
      local from, to = core.system.pipe()
      core.system.write(to, text)
      to:close()
      return from
    end
    one:send('{"jsonrpc":"2.0","id":1,"method":"echo"}\n')
    one:send('{"jsonrpc":"2.0","id":2,"method":"read","params":{"fd":1}}\n',
      { sealed "first", sealed "second" })
    one:send('{"jsonrpc":"2.0","id":3,"method":"read","params":{"fd":0}}\n')
    one:send('{"jsonrpc":"2.0","id":4,', { sealed "third" })
    uv.run "nowait"
    one:send('"method":"read","params":{"fd":0}}\n{"jsonrpc":"2.0","id":5,')
    uv.run "nowait"
    one:send('"method":"read","params":{"fd":0}}\n', { sealed "fourth" })
    local texts = {}
    for _ = 1, 5 do
      local message = one:message()
      texts[message.id] = message.result and message.result.text or message.error
        and message.error.data.code
    end
    assert.same({ [2] = "second", [3] = "EINVAL", [4] = "third", [5] = "fourth" }, texts)
  end)

  it("refuses more than 16 descriptors", function()
    serve()
    local one = connect()
    local list = {}
    for i = 1, 16 do list[i] = assert(core.system.open "/dev/null") end
    one:send("{", list)
    turn_until(function() return true end)
    one:send(" ", { list[1] })
    assert.equal("EMSGSIZE", one:message().error.data.code)
    assert.is_nil(one:line())
  end)

  it("keeps no descriptor when a request is over", function()
    serve()
    local function count()
      collectgarbage() -- what specs before this one have left
      return #core.system.list "/proc/self/fd"
    end
    local one = connect()
    assert.truthy(one:call("echo").result)
    local before = count()
    local passed = { assert(core.system.open "/dev/null"), assert(core.system.open "/dev/null") }
    assert.truthy(one:call("echo", nil, passed).result)
    assert.truthy(one:call("nothing", nil, passed).error)
    for _, descriptor in ipairs(passed) do descriptor:close() end
    assert.equal(before, count())
  end)

  it("passes a descriptor back", function()
    serve()
    local one = connect()
    assert.equal(0, one:call("give").result.fd)
    assert.equal(5, core.system.facts(one.descriptor).size)
    one.descriptor:close()
  end)

  it("waits with reading while its answers are not taken, and forgets nothing", function()
    serve()
    local one = connect()
    for id = 1, 6 do
      one:send(('{"jsonrpc":"2.0","id":%d,"method":"big"}\n'):format(id))
    end
    for _ = 1, 50 do uv.run "nowait" end
    for id = 1, 6 do assert.equal(id, one:message().id) end
  end)

  it("answers a client that is done with sending", function()
    serve()
    local one = connect()
    one:send '{"jsonrpc":"2.0","id":1,"method":"wait","params":{"name":"x"}}\n'
    one.socket:shutdown "w"
    assert.truthy(turn_until(function() return waiting.x end))
    for _ = 1, 20 do uv.run "nowait" end -- the daemon has read to the end
    waiting.x "late"
    assert.equal("late", one:message().result.value)
    assert.is_nil(one:line())
  end)

  it("makes room for a new client by the one that has been idle the longest", function()
    serve { connections = 2 }
    local first, second = connect(), connect()
    assert.truthy(first:call("echo").result)
    assert.truthy(second:call("echo").result)
    assert.truthy(connect():call("echo").result)
    assert.is_nil(first:line())
    assert.truthy(second:call("echo").result)
  end)

  it("refuses a new client when all others wait for answers", function()
    serve { connections = 1 }
    local first = connect()
    first:send '{"jsonrpc":"2.0","id":1,"method":"wait","params":{"name":"x"}}\n'
    assert.truthy(turn_until(function() return waiting.x end))
    assert.is_nil(connect():line())
    assert.matches("method=connection result=denied uid=%d+ .*all 1 connections are in use",
      audited[1])
    waiting.x "done"
    assert.equal("done", first:message().result.value)
  end)

  it("begins no more than sixteen requests of a client at once, however many it sends", function()
    serve()
    local one = connect()
    local lines = {}
    for id = 1, 40 do
      lines[id] = ('{"jsonrpc":"2.0","id":%d,"method":"wait","params":{"name":"%d"}}\n')
        :format(id, id)
    end
    one:send(table.concat(lines), { assert(core.system.open "/dev/null") })
    assert.truthy(turn_until(function() return waiting["16"] end))
    for _ = 1, 20 do uv.run "nowait" end
    assert.is_nil(waiting["17"])
    for id = 1, 40 do
      assert.truthy(turn_until(function() return waiting[tostring(id)] end))
      waiting[tostring(id)](id)
      assert.equal(id, one:message().result.value)
    end
  end)

  it("keeps what waits in order when requests are done at once", function()
    serve()
    local one = connect()
    local lines = {}
    for id = 1, 500 do
      lines[id] = ('{"jsonrpc":"2.0","id":%d,"method":"echo","params":{"value":%d}}\n')
        :format(id, id)
    end
    one:send(table.concat(lines))
    for id = 1, 500 do assert.equal(id, one:message().result.value) end
  end)

  it("lets a user hold four thousand descriptors, by however many connections", function()
    serve()
    local list = {}
    for i = 1, 16 do list[i] = assert(core.system.open "/dev/null") end
    local clients, hung_up = {}, nil
    for i = 1, 5 do
      clients[i] = connect()
      for id = 1, 64 do
        clients[i]:send(('{"jsonrpc":"2.0","id":%d,"method":"stage"}\n'):format(id), list)
        local answer = clients[i]:message()
        if answer.error then
          hung_up = { i, id, answer.error.data.code }
          break
        end
      end
    end
    assert.same({ 5, 1, "EMFILE" }, hung_up)
    assert.is_nil(clients[5]:line())
    clients[1].socket:close() -- and its thousand with it
    turn_until(function() return opened.connection_count == 3 end)
    assert.truthy(connect():call("stage", nil, list).result)
  end)

  it("leaves no file when it closes", function()
    serve()
    opened:close()
    assert.is_nil((core.system.facts(path)))
  end)
end)
