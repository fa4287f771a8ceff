-- An HTTP server that does what a spec wants, however wrong. In a process of its own, because the
-- client under test waits where it is called. As a module: starts one. As a program: is one.
--
-- The spec's part is Lua source that is run with the server's HOST:PORT and returns a
-- function(request, count) -> answer, where request is {method,
-- path, headers, body}, count how often this method and path came by now, and answer { status,
-- headers = {...}, body, and one of
--   truncate = n    closes after n bytes of the body, with all of them announced
--   endless = true  sends the body again and again
--   stall = true    keeps the connection and says no more
--   pace = n        sends n bytes every five milliseconds
--   hang_up = true  closes without an answer }
local uv = require "luv"
local dkjson = require "dkjson"
local process = require "spec.support.process"

local function read_request(text)
  local head, body = text:match "^(.-\r\n)\r\n(.*)$"
  if not head then return nil end
  local request = { headers = {}, body = body }
  request.method, request.path = head:match "^(%u+) (%S+) HTTP"
  for name, value in head:gmatch "([^\r\n:]+): *([^\r\n]*)\r\n" do
    request.headers[name:lower()] = value
  end
  if #body < (tonumber(request.headers["content-length"]) or 0) then return nil end
  return request
end

local function head_of(answer, body)
  local lines = { ("HTTP/1.1 %d Whatever"):format(answer.status or 200), "Connection: close" }
  if not answer.endless then lines[#lines + 1] = "Content-Length: " .. #body end
  for name, value in pairs(answer.headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

local function close(client)
  if not client:is_closing() then client:close() end
end

local function send_for_ever(client, body)
  client:write(body, function(err)
    if err then close(client) else send_for_ever(client, body) end
  end)
end

local function send_slowly(client, body, pace)
  local timer, at = uv.new_timer(), 1
  timer:start(0, 5, function()
    if at <= #body and not client:is_closing() then
      client:write(body:sub(at, at + pace - 1), function(err) if err then close(client) end end)
      at = at + pace
    else
      timer:close()
      close(client)
    end
  end)
end

local function send(client, request, answer)
  local body = answer.body or ""
  if answer.hang_up then return close(client) end
  local sent = request.method == "HEAD" and "" or body:sub(1, answer.truncate or #body)
  if answer.pace and request.method == "GET" then
    return client:write(head_of(answer, body), function()
      send_slowly(client, body, answer.pace)
    end)
  end
  client:write(head_of(answer, body) .. sent, function(err)
    if err then return close(client) end
    if answer.stall then return end
    if answer.endless then return send_for_ever(client, body) end
    client:shutdown(function() close(client) end)
  end)
end

local function serve(port, source, log_path)
  local handler = assert(load(source, "=handler"))("127.0.0.1:" .. port)
  local seen, log = {}, nil
  local server = uv.new_tcp()
  assert(server:bind("127.0.0.1", port))
  server:listen(64, function()
    local client, text = uv.new_tcp(), ""
    server:accept(client)
    client:read_start(function(err, chunk)
      if err or not chunk then return close(client) end
      text = text .. chunk
      local request = read_request(text)
      if not request then return end
      client:read_stop()
      local key = request.method .. " " .. request.path
      seen[key] = (seen[key] or 0) + 1
      log:write(dkjson.encode { method = request.method, path = request.path,
        headers = request.headers, size = #request.body }, "\n")
      log:flush()
      send(client, request, handler(request, seen[key]))
    end)
  end)
  log = assert(io.open(log_path, "w")) -- which also says that it listens
  uv.run()
end

local http_server = {}
http_server.__index = http_server

local made = 0

---@class spec.http_server
---@field host string      127.0.0.1:PORT
---@field url string
---@field settings table   with which bpf.registry may talk to it

---@param source string  of the function that answers
---@return spec.http_server
function http_server.start(source)
  made = made + 1
  local path = ("/tmp/bpfd-spec-%d-http-%d"):format(uv.os_getpid(), made)
  local port = require("spec.support.registry").free_port()
  local file = assert(io.open(path, "w"))
  file:write(source)
  file:close()
  local self = setmetatable({ path = path, host = "127.0.0.1:" .. port, port = port }, http_server)
  self.url = "http://" .. self.host
  self.settings = { registries = { [self.host] = { plain_http = true } } }
  self.process = process.start({ "lua5.4", "spec/support/http_server.lua", tostring(port), path },
    { output = path .. ".out" })
  process.eventually(function()
    return not self.process:alive() or uv.fs_stat(path .. ".log")
  end)
  if uv.fs_stat(path .. ".log") then return self end
  file = assert(io.open(path .. ".out"))
  local words = file:read "a"
  file:close()
  self:close()
  error("the server does not start: " .. words, 2)
end

---What came by now, in order: {method, path, headers, size}.
---@return table[]
function http_server:requests()
  local list = {}
  for line in io.lines(self.path .. ".log") do list[#list + 1] = dkjson.decode(line) end
  return list
end

---Has it answer by TLS as well, with server.pem and server.key of a directory.
---@param directory string  as spec.support.registry's make_certificates leaves it
---@return integer port  of 127.0.0.1
function http_server:add_tls(directory)
  local support <const> = require "spec.support.registry"
  local port <const> = support.free_port()
  self.tls = process.start({ "socat",
    ("OPENSSL-LISTEN:%d,bind=127.0.0.1,reuseaddr,fork,verify=0,cert=%s,key=%s"):format(port,
      directory .. "/server.pem", directory .. "/server.key"),
    "TCP:" .. self.host }, { output = self.path .. ".tls" })
  assert(process.eventually(function() return support.listens(port) end), "socat does not listen")
  return port
end

function http_server:close()
  for _, each in ipairs { self.process, self.tls } do
    each:signal "sigkill"
    each:wait()
  end
  for _, suffix in ipairs { "", ".log", ".out", ".tls" } do os.remove(self.path .. suffix) end
end

if ... == "spec.support.http_server" then return http_server end

local file <close> = assert(io.open(arg[2]))
serve(math.tointeger(arg[1]), file:read "a", arg[2] .. ".log")
