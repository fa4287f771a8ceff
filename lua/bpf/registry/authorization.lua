-- Who we are to a registry: nobody, a user by Basic, or the bearer of a token.
--
-- The password goes to the registry's own scheme, host and port, and to the token service that it
-- names. That one is asked by TLS, or by plain HTTP where the configuration names its host; and
-- where the registry itself was asked by plain HTTP, so that anybody may have spoken for it, only
-- on the same host. A challenge that comes from where a redirect led is none. Tokens are asked for
-- what is to be done, whatever scope the registry names.

local transfer = require("bpf.core").transfer
local credentials = require "bpf.registry.credentials"
local challenge = require "bpf.registry.challenge"
local error_object = require "bpf.error"
local json = require "bpf.json"
local refusal = require "bpf.registry.refusal"

local TOKEN_ANSWER <const> = 256 * 1024 -- bytes

---@alias bpf.registry.actions "pull"|"pull,push"

---@class bpf.registry.authorization
local methods = {}
local metatable = { __index = methods }

local authorization = {}

---@param options { http: bpf.registry.http, reference: bpf.reference,
---  credentials: bpf.registry.credentials? }
---@return bpf.registry.authorization
function authorization.new(options)
  return setmetatable({
    http = options.http, reference = options.reference, credentials = options.credentials,
    tokens = {},
  }, metatable)
end

local function basic(self)
  return "Basic " .. credentials.encode(self.credentials)
end

--- The header's value for the next request, as far as it is known by now.
---@param actions bpf.registry.actions
---@return string?
function methods:header(actions)
  if self.is_basic then return basic(self) end
  local token <const> = self.tokens[actions]
  return token and "Bearer " .. token
end

local function refuse(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

local log_in <const> = "give --registry-auth, or log in with podman login or docker login"

--- The error for a 401 to a request that was authorized.
---@param answer bpf.registry.answer
---@return bpf.error
function methods:refused(answer)
  if self.is_basic and not answer.astray then
    return error_object.new { code = "EACCES", advice = log_in,
      message = ("the registry does not accept the password of user %s"):format(
        self.credentials.username) }
  end
  return refusal(answer)
end

local function renew_basic(self, answer)
  if not self.credentials then
    return refuse("EACCES", "the registry wants a user name and a password", log_in)
  end
  if self.is_basic then return nil, self:refused(answer) end
  self.is_basic = true
  return true
end

local function escape(text)
  return (text:gsub("[^%w%-._~]", function(char) return ("%%%02X"):format(char:byte()) end))
end

local function token_url(self, parameters, actions)
  local fields <const> = { "scope=" .. escape(("repository:%s:%s"):format(
    self.reference.repository, actions)) }
  if parameters.service then table.insert(fields, 1, "service=" .. escape(parameters.service)) end
  local joint <const> = parameters.realm:find("?", 1, true) and "&" or "?"
  return parameters.realm .. joint .. table.concat(fields, "&")
end

-- The password for a token service, if it may have it.
local function password_for(self, realm, registry)
  if not self.credentials then return nil end
  local host <const> = realm.host and realm.host:lower()
  if registry.scheme == "http" and host and host ~= registry.host:lower() then
    return refuse("EACCES", ("the registry is asked by plain HTTP and sends the password to "
      .. "another host, %s; it stays here"):format(realm.host))
  end
  return basic(self)
end

local function read_token(answer)
  local value <const> = json.decode(answer.body)
  local token <const> = type(value) == "table" and (value.token or value.access_token)
  if type(token) == "string" and token:find "^[\33-\126]+$" then return token end
  return refuse("EBADMSG", "the token service sends no token")
end

local function fetch_token(self, parameters, actions, registry)
  local realm, err = transfer.resolve(registry.url, parameters.realm)
  if not realm then return nil, err:because("finding the token service") end
  local password
  password, err = password_for(self, realm, registry)
  if err then return nil, err end
  local answer
  answer, err = self.http:send {
    method = "GET", url = token_url(self, { realm = realm.url, service = parameters.service },
      actions), authorization = password, limit = TOKEN_ANSWER,
  }
  if not answer then return nil, err:because("asking for a token") end
  if answer.status == 200 then return read_token(answer) end
  err = refusal(answer, "the token service " .. realm.host)
  if answer.status ~= 401 and answer.status ~= 403 then return nil, err end
  return nil, err:with_advice(log_in)
end

--- Answers a 401, so that the request may be sent once more.
---@param answer bpf.registry.answer
---@param actions bpf.registry.actions
---@return true?
---@return bpf.error?
function methods:renew(answer, actions)
  if answer.astray then return nil, refusal(answer, (answer.url:match "^%w+://[^/]*")) end
  local _, values = answer.header "www-authenticate"
  local wanted <const> = challenge.choose(values)
  if not wanted then return nil, refusal(answer) end
  if wanted.scheme == "basic" then return renew_basic(self, answer) end
  local registry <const> = assert(transfer.resolve(nil, answer.url))
  local token, err = fetch_token(self, wanted.parameters, actions, registry)
  if not token then return nil, err end
  self.tokens[actions] = token
  return true
end

return authorization
