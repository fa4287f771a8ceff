-- Many clients of one daemon at once, in one process: each is a task with a connection of its own,
-- which waits for its answers while others send.
local uv = require "luv"
local core = require "bpf.core"
local error_object = require "bpf.error"
local json = require "bpf.json"
local loop = require "bpfd.loop"

local crowd = {}

local client = {}
client.__index = client

---@param path string  of the daemon's socket
---@return table client
function crowd.connect(path)
  local self = setmetatable({ socket = assert(core.socket.connect(path, 60)), unread = "",
    last_id = 0 }, client)
  self.watch = loop.watch(self.socket:fd(), function()
    local resume = self.resume
    self.resume = nil
    self.watch:on(nil)
    if resume then resume() end
  end)
  return self
end

local function ready(self, events)
  loop.wait(function(resume)
    self.resume = resume
    self.watch:on(events)
  end)
end

---Sends bytes as they are.
---@param descriptors table?  with the first of them
---@return true? ok, bpf.error? err
function client:send(text, descriptors)
  local at = 1
  while at <= #text do
    local sent, err = self.socket:send(text, at == 1 and descriptors or nil, at)
    if sent then
      at = at + sent
    elseif err.code == "EAGAIN" then
      ready(self, "w")
    else
      return nil, err
    end
  end
  return true
end

---The next message; nil when the daemon has hung up.
---@return table?
function client:message()
  while true do
    local line, rest = self.unread:match "^([^\n]*)\n(.*)$"
    if line then
      self.unread = rest
      return (assert(json.decode(line)))
    end
    local bytes, err = self.socket:receive()
    if bytes == "" or not bytes and err.code ~= "EAGAIN" then return nil end
    if bytes then self.unread = self.unread .. bytes else ready(self, "r") end
  end
end

---Asks, and waits for the answer, which must be the one to this question.
---@return any result, bpf.error? err
function client:call(method, params, descriptors)
  self.last_id = self.last_id + 1
  assert(self:send(json.encode { jsonrpc = "2.0", id = self.last_id, method = method,
    params = json.object(params or {}) } .. "\n", descriptors))
  local answer = assert(self:message(), "the daemon has hung up")
  assert(answer.id == self.last_id, "an answer to another question")
  if answer.error then return nil, error_object.new(answer.error.data) end
  return answer.result
end

---Loads from an object file.
---@return table? program, table? err
function client:load(path, params)
  local file <close> = assert(core.system.open(path))
  local sent = { fd = 0 }
  for key, value in pairs(params) do sent[key] = value end
  return self:call("program.load", sent, { file })
end

function client:close()
  self.watch:close()
  self.socket:close()
end
client.__close = client.close

---Runs body(number) as that many tasks at once, until all have ended; raises what the first of them
---raises.
---@param count integer
---@param body fun(number: integer)
function crowd.run(count, body)
  local left, failure = count, nil
  for number = 1, count do
    loop.spawn(function()
      local good, trace = xpcall(body, debug.traceback, number)
      if not good then failure = failure or ("client %d: %s"):format(number, trace) end
      left = left - 1
    end)
  end
  local tick <const> = loop.after(0.01, function() end, true) -- a turn must not wait for ever
  while left > 0 and not failure do uv.run "once" end
  tick.close()
  uv.run "nowait"
  if failure then error(failure, 0) end
end

return crowd
