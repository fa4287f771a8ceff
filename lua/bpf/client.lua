-- Talks to bpfd: JSON-RPC, one line a message, over its local socket.

local core = require "bpf.core"
local error_object = require "bpf.error"
local json = require "bpf.json"

local socket <const>, system <const> = core.socket, core.system

local default_path <const> = "/run/bpfd/bpfd.sock"
local connect_seconds <const> = 10

local client = {}

---@class bpf.client
---@field path string
local session = {}
local session_meta = { __index = session, __name = "bpf.client" }

-- Error fields that travel; the rest of JSON-RPC's errors is for machines.
local error_fields <const> = { "message", "code", "doing", "log", "advice", "hook" }
--- The JSON-RPC code of a request that this client may not make here.
client.not_permitted = -32001

local rpc_codes <const> = {
  [-32700] = "EBADMSG", [-32600] = "EBADMSG", [-32601] = "ENOSYS", [-32602] = "EINVAL",
}

local function unreachable(path, err)
  if err.code == "EACCES" or err.code == "EPERM" then
    return error_object.new {
      code = err.code, message = "not permitted to connect to " .. path,
      advice = "sudo usermod -a -G bpfd $USER, then log in again",
    }
  end
  return error_object.new {
    code = err.code, message = "no bpfd at " .. path,
    advice = "sudo systemctl start bpfd, or sudo bpfd",
  }
end

--- Where bpfd listens: BPFD_SOCKET, else the usual place.
---@return string
function client.default_path()
  local path <const> = os.getenv "BPFD_SOCKET"
  return path and path ~= "" and path or default_path
end

local function new(fields)
  fields.last_id, fields.unread = 0, ""
  return setmetatable(fields, session_meta)
end

--- Speaks over a connected socket (bpf.core.socket), which the session closes with itself.
---@param connected any
---@param path string
---@return bpf.client
function client.over(connected, path) return new { socket = connected, path = path } end

--- A client that connects when it is first used, and again when bpfd was restarted meanwhile or an
--- answer was not waited for.
---@param options { socket: string?, timeout: number? }?  timeout: seconds for connecting
---@return bpf.client
function client.on_demand(options)
  return new { options = options or {}, path = options and options.socket or client.default_path() }
end

local function connect(path, options)
  local connected, err = socket.connect(path, options and options.timeout or connect_seconds)
  if not connected then return nil, unreachable(path, err) end
  return connected
end

--- Connects to bpfd.
---@param options { socket: string?, timeout: number? }?  timeout: seconds
---@return bpf.client?
---@return bpf.error?
function client.connect(options)
  local path <const> = options and options.socket or client.default_path()
  local connected, err = connect(path, options)
  if not connected then return nil, err end
  return client.over(connected, path)
end

function session:close()
  if self.socket then self.socket:close() end
  if self.options then self.socket = nil end
end

-- What a client on demand does before each call.
local function make_ready(self)
  if not self.options then return true end
  if self.is_waiting then self:close() end
  if self.socket then return true end
  local connected, err = connect(self.path, self.options)
  if not connected then return nil, err end
  self.socket, self.unread = connected, ""
  return true
end

session_meta.__close = session.close

local function closed(self, err)
  return nil, error_object.new {
    code = err and err.code or "ECONNRESET",
    message = "bpfd closed the connection before it answered",
    advice = ("see the log of the bpfd at %s"):format(self.path),
  }
end

-- Nothing sent is an error only when nothing can be read either: a request that is refused for its
-- size is answered before it has been read to its end.
local function send_line(self, line, descriptors)
  local at = 1
  while at <= #line do
    local sent, err = self.socket:send(line, at == 1 and descriptors or nil, at)
    if sent then
      at = at + sent
    elseif err.code ~= "EAGAIN" then
      return
    else
      self.socket:wait "rw"
      if self.socket:wait("r", 0) and not self.socket:wait("w", 0) then return end
    end
  end
end

-- The next line; descriptors that came with it are appended to the list.
local function read_line(self, descriptors, silence)
  local parts, line_end = { self.unread }, self.unread:find("\n", 1, true)
  while not line_end do
    local ready, wait_err = self.socket:wait("r", silence)
    if not ready then return nil, wait_err:because "waiting for bpfd's answer" end
    local bytes, received = self.socket:receive()
    if not bytes then return closed(self, received) end
    if bytes == "" then return closed(self) end
    for _, descriptor in ipairs(received or {}) do descriptors[#descriptors + 1] = descriptor end
    parts[#parts + 1] = bytes
    line_end = bytes:find("\n", 1, true)
  end
  local text <const> = table.concat(parts)
  line_end = text:find("\n", 1, true)
  self.unread = text:sub(line_end + 1)
  return text:sub(1, line_end - 1)
end

local function read_message(self, descriptors, options)
  local line, err = read_line(self, descriptors, options.timeout)
  if not line then return nil, err end
  local message
  message, err = json.decode(line, { null = options.null })
  if not err and not json.is_object(message) then
    err = error_object.new { code = "EBADMSG", message = "not a JSON-RPC message" }
  end
  if err then return nil, err:because "reading bpfd's answer" end
  return message
end

local function rebuild_error(answer)
  local data <const> = type(answer.data) == "table" and answer.data or answer
  local fields = {}
  for _, name in ipairs(error_fields) do
    if type(data[name]) == "string" then fields[name] = data[name] end
  end
  fields.message = fields.message or tostring(answer.message)
  fields.code = fields.code or rpc_codes[answer.code]
  return error_object.new(fields)
end

---@class bpf.client.call
---@field descriptors table?   handles, numbers, or paths of files to open; params name them by
---their place, from 0
---@field progress fun(params: table)?   asks for progress and gets it
---@field null boolean?        keep nulls of the result as json.null
---@field timeout number?      seconds of silence; without, as long as it takes

local function wait_for_answer(self, id, options)
  local descriptors = {}
  while true do
    local message, err = read_message(self, descriptors, options)
    if not message then return nil, err end
    if message.method == "progress" and options.progress then options.progress(message.params) end
    if message.error and (message.id == id or message.id == nil or message.id == json.null) then
      self.is_waiting = false
      return nil, rebuild_error(message.error), message.error.code
    end
    if message.id == id and not message.method then
      self.is_waiting = false
      return message.result, descriptors
    end
  end
end

local AT_ONCE <const> = 16 -- descriptors that one line can carry

-- What one line cannot carry goes ahead; returns the rest.
local function stage(self, descriptors)
  local at = 1
  while #descriptors - at >= AT_ONCE do
    local some = table.move(descriptors, at, at + AT_ONCE - 1, 1, {})
    local result, err = self:call("request.stage", {}, { descriptors = some })
    if not result then return nil, err end
    at = at + AT_ONCE
  end
  return table.move(descriptors, at, #descriptors, 1, {})
end

local closing <const> = {
  __close = function(opened)
    for _, descriptor in ipairs(opened) do descriptor:close() end
  end,
}

-- What stands as a path is opened here, with the caller's own rights, until the answer has come.
local function open_paths(given)
  local opened, list = setmetatable({}, closing), {}
  for i, each in ipairs(given or {}) do
    list[i] = each
    if type(each) == "string" then
      local descriptor, err = system.open(each)
      if not descriptor then
        closing.__close(opened)
        return nil, err
      end
      opened[#opened + 1], list[i] = descriptor, descriptor
    end
  end
  return opened, given and list
end

--- Calls a method and waits for its answer.
---@param method string
---@param params table?
---@param options bpf.client.call?
---@return any result   nil, err when it failed
---@return table|bpf.error descriptors   those that came with the answer
---@return integer? rpc_code   JSON-RPC's, where the daemon refused
function session:call(method, params, options)
  options = options or {}
  params = json.object(params or {})
  if options.progress then params.progress = true end
  local ready, err = make_ready(self)
  if not ready then return nil, err end
  local opened <close>, given = open_paths(options.descriptors)
  if not opened then return nil, given end
  if given and #given > AT_ONCE then given, err = stage(self, given) end
  if err then return nil, err end
  local id <const> = self.last_id + 1
  self.last_id, self.is_waiting = id, true
  local request <const> = { jsonrpc = "2.0", id = id, method = method, params = params }
  send_line(self, json.line(request), given)
  return wait_for_answer(self, id, options)
end

--- Opens a map of a program that bpfd has loaded, by id, or by program_id and name; its types come
--- along, so that nothing but the way to bpfd is needed to read it.
---@param wanted { id: integer?, program_id: integer?, name: string?, mode: "r"|"rw"|nil }
---@return bpf.map?
---@return bpf.error? err
---@return integer? rpc_code
function session:open_map(wanted)
  local answer, descriptors, rpc_code = self:call("map.open", {
    id = wanted.id, program_id = wanted.program_id, name = wanted.name, mode = wanted.mode or "rw",
  })
  if not answer then return nil, descriptors, rpc_code end
  local types <close> = answer.btf_fd and descriptors[answer.btf_fd + 1] or nil
  return require("bpf.map").adopt(descriptors[answer.fd + 1], types)
end

return client
