-- Listens, and turns lines into calls of methods: JSON-RPC 2.0, one task for each request.

local core = require "bpf.core"
local error_object = require "bpf.error"
local json = require "bpf.json"
local nearest = require "bpf.nearest"
local audit = require "bpfd.audit"
local connection = require "bpfd.connection"
local fairness = require "bpfd.fairness"
local job = require "bpfd.job"
local listeners = require "bpfd.listeners"
local log = require "bpfd.log"
local loop = require "bpfd.loop"

local NOT_ALLOWED <const> = require "bpf.client".not_permitted

local server = {}
server.__index = server

---@class bpfd.request
---@field method string
---@field params table     nulls left out
---@field peer table       pid, uid, gid, groups: the kernel's word
local request_methods = {}
local request_meta = { __index = request_methods }

local function refusal(code, message, advice)
  return error_object.new { code = code, message = message, advice = advice }
end

--- The descriptor that came with the request at this place. The request's end closes it.
---@param place integer?  from 0, as in JSON
---@return table? descriptor, bpf.error? err
function request_methods:descriptor(place)
  local found = math.type(place) == "integer" and self.descriptors[place + 1]
  if found then return found end
  return nil, refusal("EINVAL", ("no descriptor %s came with the request"):format(tostring(place)))
end

--- Runs work in a job that ends with the request.
---@param options { keep: table?, answer: function?, lane: string? }?  of bpfd.job
function request_methods:run(work, options)
  local progress
  if self.params.progress then
    progress = function(step, done, total)
      self.connection:send { jsonrpc = "2.0", method = "progress",
        params = { request = self.id, step = step, done = done, total = total } }
    end
  end
  if self.cancelled then return nil, refusal("ECANCELED", self.cancelled) end
  options = options or {}
  local result, err, died = job.run(work, {
    keep = options.keep, answer = options.answer, lane = options.lane, progress = progress,
    owner = { uid = self.peer.uid, connection = self.connection },
    started = function(started) self.job = started end,
  })
  self.job = nil
  return result, err, died
end

--- Gives up what has not taken effect yet.
---@param why string
---@return boolean  whether there was anything to give up
function request_methods:cancel(why)
  self.cancelled = self.cancelled or why
  return self.job ~= nil and job.cancel(self.job, why)
end

local function names_of(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function check_params(method, params)
  if params.progress ~= nil and type(params.progress) ~= "boolean" then
    return nil, refusal("EINVAL", "progress must be true or false")
  end
  for key in pairs(params) do
    if key ~= "progress" and not method.parameters[key] then
      local names = names_of(method.parameters)
      local near = nearest(key, names)
      return nil, refusal("EINVAL", ("there is no parameter %s%s"):format(key,
        near and "; did you mean " .. near .. "?" or ""))
    end
  end
  return true
end

-- nil, err, JSON-RPC's code for what is no request that this listener serves.
local function check_request(self, message, listener)
  local id, name, params = message.id, message.method, message.params
  local id_is_good <const> = id == nil or type(id) == "string" or math.type(id) == "integer"
  if message.jsonrpc ~= "2.0" or type(name) ~= "string" or not id_is_good then
    return nil, refusal("EBADMSG", "not a JSON-RPC 2.0 request"), -32600
  end
  local is_object <const> = type(params) == "table"
    and (json.is_object(params) or next(params) == nil)
  if params ~= nil and not is_object then
    return nil, refusal("EINVAL", "params must be an object"), -32602
  end
  local method = self.methods[name]
  if not method then
    return nil, refusal("ENOSYS", ("there is no method %s"):format(name),
      "did you mean " .. nearest(name, names_of(self.methods)) .. "?"), -32601
  end
  if not listeners.rule_for(listener, name) then
    return nil, refusal("EACCES", ("%s is not allowed on %s"):format(name, listener.path)),
      NOT_ALLOWED
  end
  local good, err = check_params(method, params or {})
  if not good then return nil, err, -32602 end
  return method
end

local function call(self, request, method)
  local good, result, err, descriptors = xpcall(method.run, debug.traceback, self.daemon, request)
  if good then return result, err, descriptors end
  if error_object.is(result) then return nil, result end
  log.error("a fault of bpfd's own, in %s: %s", request.method, result)
  return nil, refusal("EFAULT", "a fault of bpfd's own; its log says more")
end

local function serve(self, request, method)
  local client = request.connection
  local result, err, descriptors = call(self, request, method)
  for _, descriptor in ipairs(request.descriptors) do descriptor:close() end
  audit.request(request, client.listener, listeners.rule_for(client.listener, request.method),
    result, err)
  if request.id == nil then
    for _, descriptor in ipairs(descriptors or {}) do descriptor:close() end
  elseif result == nil then
    client:refuse(request.id, err, err.rpc_code)
  else
    client:send({ jsonrpc = "2.0", id = request.id, result = result }, descriptors)
  end
  client:done(request) -- behind the answer: the last one's end is the connection's
end

-- Keeps the descriptors of a line for the next request of its connection: more than one line can
-- carry.
local function stage(client, message, descriptors)
  client:stage(descriptors)
  client:send { jsonrpc = "2.0", id = message.id, result = { staged = #client.staged } }
end

local function refuse(client, message, err, rpc_code)
  if rpc_code == NOT_ALLOWED then
    audit.denial({ method = message.method, params = message.params or {}, peer = client.peer },
      client.listener, err)
  end
  local id = message.id
  if type(id) ~= "string" and math.type(id) ~= "integer" then id = nil end
  client:refuse(id, err, rpc_code)
end

--- One message of a client (called by its connection).
function server:handle(client, message, descriptors)
  local method, err, rpc_code = check_request(self, message, client.listener)
  if method and method.stages then return stage(client, message, descriptors) end
  if method then descriptors = client:take_staged(descriptors) end
  if not method then
    for _, descriptor in ipairs(descriptors) do descriptor:close() end
    return refuse(client, message, err, rpc_code)
  end
  local request = setmetatable({
    id = message.id, method = message.method, params = message.params or {}, peer = client.peer,
    connection = client, descriptors = descriptors,
  }, request_meta)
  client:begin(request)
  self.served = self.served + 1
  local function begin() loop.spawn(function() serve(self, request, method) end) end
  if method.in_turn then loop.in_turn(begin) else begin() end
end

-- Room for one more, at the cost of who has the most.
local function make_room(self, peer)
  local client <const> = fairness.to_leave(self.connections, peer)
  if not client then return false end
  client:close()
  if client.request_count > 0 then
    audit.connection(client.peer, client.listener,
      "cut off for others: its user has the most connections")
  end
  return true
end

local function welcome(self, socket, listener)
  local peer, err = socket:peer()
  if not peer then
    socket:close()
    return log.info("a client left at once: %s", tostring(err))
  end
  if self.connection_count >= self.limits.connections and not make_room(self, peer) then
    audit.connection(peer, listener,
      ("all %d connections are in use"):format(self.limits.connections))
    return socket:close()
  end
  local client <const> = connection.new(socket, self.face, listener, peer)
  client.used_at = self.face.now()
  self.connections[client] = client
  self.connection_count = self.connection_count + 1
end

local function accept(self, listener)
  for _ = 1, 64 do -- others get their turn too
    local socket, err = listener.socket:accept()
    if socket then
      welcome(self, socket, listener)
    else
      if err.code ~= "EAGAIN" then log.warning("%s", tostring(err)) end
      return
    end
  end
end

--- Opens the sockets; nobody is answered before the loop runs.
---@param options { daemon: table, methods: table, listen: table, limits: table, sockets: table? }
---  sockets: those that are open already, by their paths
---@return table? server, bpf.error? err
function server.open(options)
  local self = setmetatable({
    daemon = options.daemon, methods = options.methods, limits = options.limits,
    connections = {}, connection_count = 0, listeners = {}, served = 0,
  }, server)
  self.face = {
    limits = self.limits,
    now = function() return core.system.clock "monotonic" end,
    handle = function(...) return self:handle(...) end,
    excess = function(client) return fairness.excess(self.connections, client.peer.uid) end,
    closed = function(client)
      if self.connections[client] then self.connection_count = self.connection_count - 1 end
      self.connections[client] = nil
    end,
  }
  local given <const> = options.sockets or {}
  for _, listen in ipairs(options.listen) do
    local listener, err = listeners.open(listen, given,
      function(open) accept(self, open) end)
    if not listener then
      self:close()
      return nil, err
    end
    table.insert(self.listeners, listener)
  end
  for path, socket in pairs(given) do
    log.warning("a socket was opened for bpfd at %s, which its configuration does not name", path)
    socket:close()
  end
  return self
end

--- Takes no new clients, and the sockets' files away.
function server:stop_listening()
  for _, listener in ipairs(self.listeners) do listeners.close(listener) end
  self.listeners = {}
end

--- Whether a request is under way or an answer not yet taken.
function server:is_busy()
  for _, client in pairs(self.connections) do
    if client.request_count > 0 or #client.unsent > 0 then return true end
  end
  return false
end

function server:close()
  self:stop_listening()
  for _, client in pairs(self.connections) do client:close() end
end

return server
