-- Callers who may not connect, or send rubbish: they lose their connection, others notice nothing.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local host = require "spec.support.host"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

describe("a caller", function()
  local bpfd <const> = host.daemon_for_all { config = "return { limits = { idle = '1s' } }\n" }

  it("without permission is told the group to join", function()
    local result = process.run { "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
      "--", bpfctl.path, "--socket", bpfd.socket, "list" }
    assert.are.equal(77, result.exit)
    assert.are.equal("", result.stdout)
    assert.is_truthy(result.stderr:find "^bpfctl: [^\n]+\n$", result.stderr)
    assert.is_truthy(result.stderr:find("sudo usermod -a -G bpfd $USER, then log in again", 1,
      true))
  end)

  ---Opens a connection, sends chunks, and waits for an answer or the end.
  ---@param closes boolean?  the end is waited for, also behind an answer
  local function talk(chunks, milliseconds, closes)
    local pipe, received, ended = uv.new_pipe(), {}, false
    pipe:connect(bpfd.socket, function(err)
      assert(not err, err)
      pipe:read_start(function(failure, chunk)
        if chunk then received[#received + 1] = chunk else ended = failure or "end" end
      end)
      for _, chunk in ipairs(chunks) do pipe:write(chunk, function() end) end
    end)
    process.eventually(function()
      uv.run "nowait"
      return ended or (#received > 0 and table.concat(received):find "\n")
    end, milliseconds or 5000)
    -- what closes the connection may say why first
    local answer = table.concat(received)
    process.eventually(function()
      uv.run "nowait"
      return ended or not closes
    end, 5000)
    pipe:close()
    uv.run "nowait"
    return answer, ended
  end

  local function assert_alive()
    assert.are.equal(0, bpfd:bpfctl("list").exit)
    assert.is_true(bpfd.process:alive())
  end

  for name, chunk in pairs {
    ["JSON that is malformed"] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\n",
    ["no JSON at all"] = "GET / HTTP/1.1\r\n\r\n",
    ["bytes"] = "\0\1\2\255\254\n",
    ["an array of arrays"] = ("["):rep(100000) .. "\n",
    ["a number"] = "42\n",
    ["an empty line"] = "\n\n\n\n",
  } do
    it("who sends " .. name .. " hurts nobody", function()
      local answer, ended = talk({ chunk }, 3000)
      assert.is_true(ended ~= false or answer:find "error" ~= nil, "no answer, and no end")
      assert_alive()
    end)
  end

  it("whose method or parameters are unknown is told so", function()
    local answer = talk { '{"jsonrpc":"2.0","id":7,"method":"program.lst","params":{}}\n' }
    assert.is_truthy(answer:find "program.list", answer)
    assert.is_truthy(answer:find '"id":7')
    answer = talk { '{"jsonrpc":"2.0","id":8,"method":"program.get","params":{"ident":1}}\n' }
    assert.is_truthy(answer:find "ident", answer)
    assert_alive()
  end)

  it("whose message never ends loses the connection at the limit", function()
    local chunks = {}
    for i = 1, 40 do chunks[i] = ("x"):rep(65536) end
    local _, ended = talk(chunks, 5000, true)
    assert.is_truthy(ended)
    assert_alive()
  end)

  it("who begins and never finishes loses the connection, and keeps nobody waiting", function()
    local pipes = {}
    for i = 1, 50 do
      pipes[i] = uv.new_pipe()
      pipes[i]:connect(bpfd.socket, function() pipes[i]:write '{"jsonrpc":"2.0","id":1,' end)
    end
    uv.run "nowait"
    assert_alive()
    for _, pipe in ipairs(pipes) do pipe:close() end
    uv.run "nowait"
    local _, ended = talk({ '{"jsonrpc"' }, 10000)
    assert.is_truthy(ended)
    assert_alive()
  end)

  it("who hangs up in the middle of a load hurts nobody", function()
    for _ = 1, 5 do
      local client = process.start({ bpfctl.path, "--socket", bpfd.socket, "load-from-file", "-p",
        bpfctl.examples .. "sys_enter_openat.o", "-n", "sys_enter_openat", "-g", "ONLY_PID=u32:1",
        "tracepoint", "-t", "sched/sched_switch" })
      uv.sleep(math.random(0, 15)) -- anywhere in a load
      client:signal "sigkill"
      client:wait()
    end
    rpc.unload_all(bpfd)
    assert_alive()
  end)
end)
