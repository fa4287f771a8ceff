-- Listens, and turns lines into calls of methods: JSON-RPC 2.0, one task for each request.

local core = require "bpf.core"
local error_object = require "bpf.error"
local json = require "bpf.json"
local nearest = require "bpf.nearest"
local connection = require "bpfd.connection"
local fairness = require "bpfd.fairness"
local job = require "bpfd.job"
local log = require "bpfd.log"
local loop = require "bpfd.loop"

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

--- Runs work in a job that ends with the request; `answer` is to what it asks.
---@param lane string?  of bpfd.job
function request_methods:run(work, keep, answer, lane)
  local progress
  if self.params.progress then
    progress = function(step, done, total)
      self.connection:send { jsonrpc = "2.0", method = "progress",
        params = { request = self.id, step = step, done = done, total = total } }
    end
  end
  if self.cancelled then return nil, refusal("ECANCELED", self.cancelled) end
  local result, err, died = job.run(work, {
    keep = keep, answer = answer, lane = lane, progress = progress,
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

local function matches(pattern, name)
  local escaped = pattern:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*")
  return name:find("^" .. escaped .. "$") ~= nil
end

local function is_allowed(listener, method)
  for _, pattern in ipairs(listener.allow) do
    if matches(pattern, method) then return true end
  end
  return false
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
  if not is_allowed(listener, name) then
    return nil, refusal("EACCES", ("%s is not allowed on %s"):format(name, listener.path)), -32001
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
  log.debug("%s for process %d of user %d", request.method, client.peer.pid, client.peer.uid)
  local result, err, descriptors = call(self, request, method)
  for _, descriptor in ipairs(request.descriptors) do descriptor:close() end
  client:done(request)
  if result == nil then log.info("%s: %s", request.method, tostring(err)) end
  if request.id == nil then
    for _, descriptor in ipairs(descriptors or {}) do descriptor:close() end
  elseif result == nil then
    client:refuse(request.id, err, err.rpc_code)
  else
    client:send({ jsonrpc = "2.0", id = request.id, result = result }, descriptors)
  end
end

-- Keeps the descriptors of a line for the next request of its connection: more than one line can
-- carry.
local function stage(client, message, descriptors)
  client:stage(descriptors)
  client:send { jsonrpc = "2.0", id = message.id, result = { staged = #client.staged } }
end

--- One message of a client (called by its connection).
function server:handle(client, message, descriptors)
  local method, err, rpc_code = check_request(self, message, client.listener)
  if method and method.stages then return stage(client, message, descriptors) end
  if method then descriptors = client:take_staged(descriptors) end
  if not method then
    for _, descriptor in ipairs(descriptors) do descriptor:close() end
    local id = message.id
    if type(id) ~= "string" and math.type(id) ~= "integer" then id = nil end
    return client:refuse(id, err, rpc_code)
  end
  local request = setmetatable({
    id = message.id, method = message.method, params = message.params or {}, peer = client.peer,
    connection = client, descriptors = descriptors,
  }, request_meta)
  client:begin(request)
  self.served = self.served + 1
  loop.spawn(function() serve(self, request, method) end)
end

-- Room for one more, at the cost of who has the most.
local function make_room(self, peer)
  local client <const> = fairness.to_leave(self.connections, peer)
  if client then client:close() end
  return client ~= nil
end

local function welcome(self, socket, listener)
  local peer, err = socket:peer()
  if not peer then
    socket:close()
    return log.info("a client left at once: %s", tostring(err))
  end
  if self.connection_count >= self.limits.connections and not make_room(self, peer) then
    log.warning("all %d connections are in use; one more, of user %d, is refused",
      self.limits.connections, peer.uid)
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

local function group_of(listener)
  if not listener.group then return nil end
  local gid, err = core.system.group_id(listener.group)
  if not gid and not listener.group_may_lack then
    log.warning("%s: %s is for root alone", tostring(err), listener.path)
  end
  return gid
end

-- A listener's socket: the one that a service manager has opened there, else one of our own.
local function open_listener(self, listen, given)
  local socket, err = given[listen.path]
  local is_given <const>, group <const> = socket ~= nil, group_of(listen)
  if not socket then
    socket, err = core.socket.listen(listen.path, { mode = listen.mode, group = group })
  end
  if not socket then return nil, err end
  given[listen.path] = nil
  local listener = { socket = socket, path = listen.path, allow = listen.allow,
    is_given = is_given, has_group = group ~= nil }
  listener.watch = loop.watch(socket:fd(), function() accept(self, listener) end)
  listener.watch:on "r"
  return listener
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
    local listener, err = open_listener(self, listen, given)
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
  for _, listener in ipairs(self.listeners) do
    listener.watch:close()
    listener.socket:close()
    if not listener.is_given then core.system.remove(listener.path) end
  end
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
