-- A docker-registry of a spec's own on a free port of loopback: plain, with a password, with TLS.
local uv = require "luv"
local files = require "spec.support.files"
local process = require "spec.support.process"

local registry = {}
registry.__index = registry

local made = 0

---A port that nobody listens on.
---@return integer
function registry.free_port()
  local socket = uv.new_tcp()
  assert(socket:bind("127.0.0.1", 0))
  local port = socket:getsockname().port
  socket:close()
  uv.run "nowait"
  return port
end

local function openssl(...)
  process.check { "openssl", ... }
end

---A CA, and a certificate of 127.0.0.1 and localhost that it has signed.
---@param directory string
function registry.make_certificates(directory)
  local function path(name) return directory .. "/" .. name end
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
    "-days", "2", "-subj", "/CN=bpfd spec CA", "-keyout", path "ca.key", "-out", path "ca.pem")
  openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
    "-subj", "/CN=127.0.0.1", "-keyout", path "server.key", "-out", path "server.csr")
  files.write(path "names", "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
  openssl("x509", "-req", "-in", path "server.csr", "-CA", path "ca.pem", "-CAkey", path "ca.key",
    "-CAcreateserial", "-days", "2", "-extfile", path "names", "-out", path "server.pem")
end

local function configuration(self, options)
  local lines = {
    "version: 0.1", "log:", "  level: error", "  accesslog:", "    disabled: true", "storage:",
    "  filesystem:", "    rootdirectory: " .. self.directory .. "/storage",
    "  delete:", "    enabled: true", "http:", "  addr: " .. self.host,
  }
  local function add(...) table.move({ ... }, 1, select("#", ...), #lines + 1, lines) end
  if options.tls then
    registry.make_certificates(self.directory)
    self.ca = self.directory .. "/ca.pem"
    add("  tls:", "    certificate: " .. self.directory .. "/server.pem",
      "    key: " .. self.directory .. "/server.key")
  end
  if options.users then
    local path = self.directory .. "/htpasswd"
    files.write(path, "")
    for user, password in pairs(options.users) do
      process.check { "htpasswd", "-Bb", "-C", "4", path, user, password }
    end
    add("auth:", "  htpasswd:", "    realm: bpfd spec", "    path: " .. path)
  end
  if options.token then
    add("auth:", "  token:", "    realm: " .. options.token.realm,
      "    service: bpfd-spec", "    issuer: bpfd-spec",
      "    rootcertbundle: " .. options.token.certificate)
  end
  return table.concat(lines, "\n") .. "\n"
end

---Whether somebody listens there.
---@param port integer
function registry.listens(port)
  local answered
  local socket = uv.new_tcp()
  socket:connect("127.0.0.1", port, function(err)
    answered = err == nil
    socket:close()
  end)
  while answered == nil do uv.run "once" end
  return answered
end

---@class spec.registry.options
---@field prefix? string                how its directory's name begins
---@field users? table<string, string>  passwords by name
---@field tls? boolean                  by a CA of its own, in `ca`
---@field token? { realm: string, certificate: string }

---@class spec.registry
---@field host string       127.0.0.1:PORT
---@field settings table    with which bpf.registry may talk to it
---@field ca? string

---Starts one and waits until it answers.
---@param options? spec.registry.options
---@return spec.registry
function registry.start(options)
  options = options or {}
  made = made + 1
  local directory = ("/tmp/%s-%d-registry-%d"):format(options.prefix or "bpfd-spec",
    uv.os_getpid(), made)
  assert(uv.fs_mkdir(directory, tonumber("700", 8)))
  local self = setmetatable({ directory = directory, port = registry.free_port() }, registry)
  self.host = "127.0.0.1:" .. self.port
  files.write(directory .. "/config.yml", configuration(self, options))
  self.settings = { registries = { [self.host] = { plain_http = not options.tls, ca = self.ca } } }
  self.process = process.start({ "docker-registry", "serve", directory .. "/config.yml" },
    { output = directory .. "/log" })
  process.eventually(function()
    return not self.process:alive() or registry.listens(self.port)
  end, 20000)
  if not self.process:alive() then
    local file <close> = assert(io.open(directory .. "/log"))
    error("docker-registry does not start:\n" .. file:read "a", 2)
  end
  return self
end

---Stops it and takes away all that it has.
function registry:close()
  self.process:signal "sigkill"
  self.process:wait()
  process.check { "rm", "-rf", self.directory }
end
registry.__close = registry.close

return registry
