-- One client: lines in, lines out, and the requests that are under way between them.

local error_object = require "bpf.error"
local json = require "bpf.json"
local audit = require "bpfd.audit"
local loop = require "bpfd.loop"

local AT_ONCE <const> = 16 -- requests of one client; further ones wait unread
local UNSENT <const> = 16 << 20 -- bytes that a client may leave unread
local MUCH <const> = 64 << 10 -- bytes of an answer that is looked at twice
local DESCRIPTORS <const> = 16
local STAGED <const> = 1024 -- descriptors of several lines, for one request

local connection = {}
connection.__index = connection

--- Serves the connected socket until it ends.
---@param socket table  bpf.core.socket
---@param server { handle: fun(request: table), limits: table, closed: fun(connection),
---  excess: fun(connection): string? }
---@param listener table  which of the configuration's it came by
---@param peer table  the kernel's word on who it is
---@return table connection
function connection.new(socket, server, listener, peer)
  local self = setmetatable({
    socket = socket, server = server, listener = listener, peer = peer,
    text = {}, size = 0, descriptors = {}, staged = {}, unsent = {}, unsent_size = 0,
    requests = {}, request_count = 0, used_at = 0,
  }, connection)
  self.watch = loop.watch(socket:fd(), function(readable, writable)
    if writable then self:flush() end
    if readable and not self.closed then self:receive() end
  end)
  self:listen()
  return self
end

local function close_all(descriptors)
  for _, descriptor in ipairs(descriptors) do descriptor:close() end
end

-- While nothing is read, nothing tells that the client has gone: then it is looked at.
function connection:mind_presence(look)
  if not look and self.presence then
    self.presence:close()
    self.presence = nil
  elseif look and not self.presence then
    self.presence = loop.after(0.2, function()
      if self.socket:gone() then self:close() end
    end, true)
  end
end

-- While there is room for requests and their answers are taken.
local function may_ask(self)
  return not self.ending and not self.closed and self.request_count < AT_ONCE
    and #self.unsent == 0
end

local take_waiting ---@type fun(self: table)

-- Reads on, once what was read already has been taken.
function connection:listen()
  if self.waiting then take_waiting(self) end
  if self.closed then return end
  local read <const> = may_ask(self) and not self.at_end and not self.waiting
  self:mind_presence(not read)
  local events = (read and "r" or "") .. (#self.unsent > 0 and "w" or "")
  self.watch:on(events ~= "" and events or nil)
end

function connection:stop_timers()
  for _, name in ipairs { "patience", "presence" } do
    if self[name] then self[name]:close() end
    self[name] = nil
  end
end

--- Ends it at once; what its requests still do is cancelled where that is possible.
function connection:close()
  if self.closed then return end
  self.closed = true
  self:stop_timers()
  self.watch:close()
  -- Children that were forked meanwhile hold copies for a moment: shutdown reaches the peer anyhow.
  self.socket:shutdown "rw"
  self.socket:close()
  close_all(self.descriptors)
  close_all(self.staged)
  close_all(self.waiting and self.waiting.received or {})
  for _, message in ipairs(self.unsent) do close_all(message.descriptors or {}) end
  self.text, self.unsent = {}, {}
  for _, request in pairs(self.requests) do request:cancel "the client has gone" end
  self.server.closed(self)
end

-- Ends it when the answers that wait have been taken.
function connection:finish()
  self.ending = true
  self.text, self.size = {}, 0
  close_all(self.descriptors)
  close_all(self.waiting and self.waiting.received or {})
  self.descriptors, self.waiting = {}, nil
  if #self.unsent == 0 then return self:close() end
  self:be_patient()
  self:listen()
end

-- One bound for everything that a client begins and does not finish.
function connection:be_patient()
  self.patience = self.patience or loop.after(self.server.limits.idle, function()
    self.patience = nil
    audit.connection(self.peer, self.listener, "too slow")
    self:close()
  end)
end

function connection:flush()
  while #self.unsent > 0 do
    local first = self.unsent[1]
    local sent, err = self.socket:send(first.line, first.at == 1 and first.descriptors or nil,
      first.at)
    if not sent then
      if err.code ~= "EAGAIN" then return self:close() end
      self:be_patient()
      return self:listen()
    end
    self.unsent_size = self.unsent_size - sent
    first.at = first.at + sent
    if first.at > #first.line then
      close_all(first.descriptors or {})
      table.remove(self.unsent, 1)
    end
  end
  if self.ending then return self:close() end
  if self.patience and self.size == 0 then
    self.patience:close()
    self.patience = nil
  end
  self:listen()
end

--- Sends one message; descriptors are closed once they are sent.
---@param message table
---@param descriptors table?
function connection:send(message, descriptors)
  if self.closed then return close_all(descriptors or {}) end
  local line <const> = json.line(message)
  table.insert(self.unsent, { line = line, at = 1, descriptors = descriptors })
  self.unsent_size = self.unsent_size + #line
  if self.unsent_size > UNSENT or #line > MUCH and self.server.excess(self) then
    audit.connection(self.peer, self.listener, "it reads none of its answers")
    return self:close()
  end
  self:flush()
end

--- Answers with an error.
---@param id string|integer|nil
---@param err bpf.error
---@param rpc_code integer?
function connection:refuse(id, err, rpc_code)
  local data = {}
  for key, value in pairs(err) do data[key] = value end
  self:send { jsonrpc = "2.0", id = id or json.null,
    error = { code = rpc_code or -32000, message = tostring(err), data = data } }
end

-- A client that does not speak the protocol is told so, once.
function connection:give_up(message, code)
  audit.connection(self.peer, self.listener, message)
  self:refuse(nil, error_object.new { code = code or "EBADMSG", message = message }, -32700)
  if not self.closed then self:finish() end
end

function connection:take_line(line, descriptors)
  local message, err = json.decode(line)
  if err or not json.is_object(message) then
    close_all(descriptors)
    return self:give_up(err and err.message or "a request is one JSON object")
  end
  self.server.handle(self, message, descriptors)
end

local function too_large(self)
  return self:give_up(("a request is larger than %d bytes"):format(self.server.limits.request),
    "EMSGSIZE")
end

local function too_many(self)
  return self:give_up("more than 16 descriptors in one request", "EMSGSIZE")
end

local function append(list, more)
  for _, item in ipairs(more) do list[#list + 1] = item end
end

--- Keeps descriptors for the next request.
function connection:stage(descriptors)
  append(self.staged, descriptors)
  if #self.staged > STAGED then
    self:give_up(("more than %d descriptors for one request"):format(STAGED), "EMSGSIZE")
  end
end

--- Those that were kept, and the request's own behind them.
function connection:take_staged(descriptors)
  if #self.staged == 0 then return descriptors end
  local all <const> = self.staged
  self.staged = {}
  append(all, descriptors)
  return all
end

-- The kernel ends a read at the message that descriptors came with: they belong to its last line,
-- and those of an earlier read to the line that was unfinished then. What is more than may be asked
-- at once waits as it came.
local function split(self, bytes, received)
  local at = 1
  while at <= #bytes do
    if self.ending or self.closed then return close_all(received) end
    if not may_ask(self) then
      self.waiting = { bytes = bytes:sub(at), received = received }
      return
    end
    local stop = bytes:find("\n", at, true)
    table.insert(self.text, bytes:sub(at, (stop or 0) - 1))
    self.size = self.size + (stop or #bytes + 1) - at
    at = (stop or #bytes) + 1
    if at > #bytes then append(self.descriptors, received) end
    if self.size > self.server.limits.request then return too_large(self) end
    if #self.descriptors > DESCRIPTORS then return too_many(self) end
    if stop then
      local line <const>, descriptors <const> = table.concat(self.text), self.descriptors
      self.text, self.size, self.descriptors = {}, 0, {}
      self:take_line(line, descriptors)
    end
  end
end

local function accept_bytes(self, bytes, received)
  split(self, bytes, received)
  if self.closed or self.ending then return end
  if #self.text > 0 then
    self:be_patient()
  elseif self.patience and #self.unsent == 0 then
    self.patience:close()
    self.patience = nil
  end
end

-- Not from within itself: a request that is done at once makes room while its line is being taken.
function take_waiting(self)
  if self.is_taking then return end
  self.is_taking = true
  local at_end <close> = setmetatable({}, { -- luacheck: ignore at_end
    __close = function() self.is_taking = false end,
  })
  while self.waiting and may_ask(self) do
    local waiting <const> = self.waiting
    self.waiting = nil
    accept_bytes(self, waiting.bytes, waiting.received)
  end
end

function connection:receive()
  local bytes, received = self.socket:receive()
  if not bytes then
    if received.code == "EAGAIN" then return end
    if received.code == "EMSGSIZE" then return too_many(self) end
    return self:close()
  end
  if bytes == "" then return self:end_of_requests() end
  self.used_at = self.server.now()
  self.waiting = { bytes = bytes, received = received or {} }
  local excess <const> = received and self.server.excess(self)
  if excess then
    close_all(received)
    self.waiting = nil
    return self:give_up(excess, "EMFILE")
  end
  self:listen()
end

-- A client that is done with sending may still want its answers; one that is gone does not.
function connection:end_of_requests()
  self.at_end = true
  if self.request_count == 0 and #self.unsent == 0 then return self:close() end
  if self.socket:gone() then return self:close() end
  self:listen()
end

--- Counts a request in, so that it is cancelled when the client goes.
function connection:begin(request)
  self.request_count = self.request_count + 1
  self.requests[request] = request
  self:listen()
end

--- Counts it out.
function connection:done(request)
  self.requests[request] = nil
  self.request_count = self.request_count - 1
  if self.at_end and self.request_count == 0 and not self.closed then return self:finish() end
  self:listen()
end

return connection
