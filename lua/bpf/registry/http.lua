-- Requests to registries: redirects, retries, and which host may be spoken to in which way.

local transfer = require("bpf.core").transfer
local error_object = require "bpf.error"
local headers = require "bpf.registry.headers"
local retry = require "bpf.registry.retry"

local http = {}

local REDIRECTS <const> = 5
local ATTEMPTS <const> = 4
local TIMEOUT <const>, TOTAL <const> = 30, 3600

---@class bpf.registry.request
---@field method string
---@field url string
---@field headers string[]?
---@field authorization string?  only sent to the scheme, host and port of `home`
---@field home string?           an address; url when left out
---@field limit integer          bytes of the answer
---@field body any               and body_size, into, offset, progress: as core/transfer.h has them

---@class bpf.registry.answer
---@field status integer
---@field header fun(name: string): string?, string[]
---@field body string
---@field url string     that answered
---@field astray boolean it is another scheme, host or port than was asked

---@class bpf.registry.http
local methods = {}
local metatable = { __index = methods }

---@param options { settings: bpf.registry.settings?, cancelled: (fun(): boolean)?,
---  wait: fun(seconds: number)? }
---@return bpf.registry.http?
---@return bpf.error?
function http.open(options)
  local handle, err = transfer.open()
  if not handle then return nil, err end
  return setmetatable({
    handle = handle, settings = options.settings or {}, cancelled = options.cancelled,
    pause = options.wait or transfer.wait,
  }, metatable)
end

function methods:close() self.handle:close() end

metatable.__close = methods.close

-- The API of Docker Hub has a host of its own.
local hub <const> = { host = "registry-1.docker.io", name = "docker.io" }

--- The host that serves a registry.
---@param registry string
---@return string
function http.host(registry) return registry == hub.name and hub.host or registry end

local usual_port <const> = { http = "80", https = "443" }

-- What the configuration says of a host; names may leave the usual port away.
local function settings_of(self, address)
  local registries <const> = self.settings.registries or {}
  local host <const> = address.host == hub.host and hub.name or address.host
  return registries[host .. ":" .. address.port]
    or address.port == usual_port[address.scheme] and registries[host] or {}
end

---@param registry string  as a reference has it
---@return string  "https", or "http" where the configuration says so
function methods:scheme(registry)
  local own <const> = (self.settings.registries or {})[registry]
  return own and own.plain_http and "http" or "https"
end

local function place_of(address)
  return address.host .. (address.port == usual_port[address.scheme] and "" or ":" .. address.port)
end

local function same_origin(left, right)
  return left.scheme == right.scheme and left.host:lower() == right.host:lower()
    and left.port == right.port
end

local function refuse_address(address)
  if address.scheme ~= "http" or not address.host then
    return nil, error_object.new { code = "EPROTONOSUPPORT",
      message = ("%s is no address that is followed: only https, and http where the "
        .. "configuration allows it"):format(address.url) }
  end
  local place <const> = place_of(address)
  return nil, error_object.new {
    code = "EPROTONOSUPPORT",
    message = ("%s is to be asked by plain HTTP, which the configuration does not allow")
      :format(place),
    advice = ('registries = { ["%s"] = { plain_http = true } } allows it'):format(place),
  }
end

-- Where an address leads, if it may be asked at all.
local function admit(self, base, text)
  local address, err = transfer.resolve(base, text)
  if not address then return nil, err end
  if not address.host or not address.port then return refuse_address(address) end
  local settings <const> = settings_of(self, address)
  if address.scheme ~= "https" and not (address.scheme == "http" and settings.plain_http) then
    return refuse_address(address)
  end
  return address, settings
end

local function watch(self, request)
  local cancelled <const>, progress <const> = self.cancelled, request.progress
  if not cancelled and not progress then return nil end
  return function(done)
    if progress then progress(done) end
    return cancelled ~= nil and cancelled()
  end
end

-- What an operator can do about a connection that TLS refused.
local function advise(err, address)
  if err.code ~= "EPROTO" or address.scheme ~= "https" then return err end
  local place <const> = place_of(address)
  return err:with_advice(('for a CA of your own configure registries = { ["%s"] = { ca = '
    .. '"/path/of/ca.pem" } }; for one without TLS plain_http = true'):format(place))
end

-- One request to one address.
local function ask(self, request, address, settings, authorization)
  local lines = table.move(request.headers or {}, 1, #(request.headers or {}), 1, {})
  if authorization then lines[#lines + 1] = "Authorization: " .. authorization end
  local timeout <const> = self.settings.timeout or TIMEOUT
  local answer, err = self.handle:request {
    method = request.method, url = address.url, headers = lines, ca = settings.ca,
    plain_http = settings.plain_http, connect = timeout, stall = timeout,
    total = self.settings.total or TOTAL, body = request.body, body_size = request.body_size,
    into = request.into, offset = request.offset, limit = request.limit,
    progress = watch(self, request),
  }
  if not answer then
    return nil, advise(err, address):because("asking " .. place_of(address))
  end
  answer.header, answer.url = headers(answer.headers), address.url
  return answer
end

local follows <const> = {
  [301] = { GET = true, HEAD = true }, [302] = { GET = true, HEAD = true },
  [303] = { GET = true, HEAD = true },
  [307] = { GET = true, HEAD = true, POST = true, PUT = true },
  [308] = { GET = true, HEAD = true, POST = true, PUT = true },
}

-- Credentials stay at home: once a redirect has led elsewhere, they do not even go back there.
local function follow(self, request)
  local first, settings = admit(self, nil, request.url)
  if not first then return nil, settings end
  local home <const> = assert(transfer.resolve(nil, request.home or request.url))
  local address, authorization = first, request.authorization
  for _ = 0, REDIRECTS do
    if not same_origin(home, address) then authorization = nil end
    local answer, err = ask(self, request, address, settings, authorization)
    if not answer then return nil, err end
    answer.astray = not same_origin(home, address)
    local location <const> = answer.header "location"
    local is_redirect <const> = follows[answer.status] and follows[answer.status][request.method]
    if not is_redirect or not location then return answer end
    address, settings = admit(self, address.url, location)
    if not address then
      return nil, settings:because(("following a redirect of %s"):format(place_of(first)))
    end
  end
  return nil, error_object.new { code = "ELOOP",
    message = ("%s leads from redirect to redirect"):format(place_of(first)) }
end

local function wait(self, seconds)
  while seconds > 0 do
    if self.cancelled and self.cancelled() then
      return nil, error_object.new { code = "ECANCELED", message = "cancelled" }
    end
    local slice <const> = self.cancelled and math.min(seconds, 0.1) or seconds
    self.pause(slice)
    seconds = seconds - slice
  end
  return true
end

--- Sends a request and follows where it leads. Answers of any status; those that are about the
--- server's load are waited for, a few times and not for long.
---@param request bpf.registry.request
---@return bpf.registry.answer?
---@return bpf.error?
function methods:send(request)
  for attempt = 1, ATTEMPTS do
    local answer, err = follow(self, request)
    if not answer then return nil, err end
    local seconds <const> = retry.pause(answer, attempt)
    if not seconds or attempt == ATTEMPTS then return answer end
    local waited
    waited, err = wait(self, seconds)
    if not waited then return nil, err end
  end
end

return http
