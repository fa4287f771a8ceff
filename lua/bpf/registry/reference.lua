-- Image references: quay.io/acme/guard:1.4, 127.0.0.1:5000/x@sha256:..., and Docker's short names.

local lpeg = require "lpeg"

local error_object = require "bpf.error"

local P <const>, R <const>, S <const>, C <const>, Cp <const> =
  lpeg.P, lpeg.R, lpeg.S, lpeg.C, lpeg.Cp

local LONGEST_NAME <const> = 255 -- bytes of registry and repository, as every registry has it
local LONGEST_TAG <const> = 128

---@class bpf.reference
---@field registry string    HOST or HOST:PORT, as the configuration names it; docker.io if none
---@field repository string  such as "acme/guard"
---@field tag string?        absent only where a digest stands without one
---@field digest string?     "sha256:" and 64 digits; where a tag stands too the digest decides
local methods = {}
local metatable = { __index = methods, __name = "bpf.reference" }

local alphanumeric <const> = R("az", "09")
local separator <const> = P "__" + S "._" + P "-" ^ 1
local component <const> = alphanumeric ^ 1 * (separator * alphanumeric ^ 1) ^ 0

local letter <const> = R("az", "AZ", "09")
local label <const> = letter ^ 1 * (P "-" ^ 1 * letter ^ 1) ^ 0
local address <const> = P "[" * (R("09", "af", "AF") + S ":.") ^ 1 * "]" -- of IP version 6
local host <const> = (address + label * ("." * label) ^ 0) * (P ":" * R "09" ^ 1) ^ -1

local digits = P "sha256:"
for _ = 1, 64 do digits = digits * R("09", "af") end

-- A first component is a host where it can be no repository's, as Docker has it.
local has_host <const> = P "localhost/" + (1 - S "/.:[AZ@" - R "AZ") ^ 0 * (S ".:[" + R "AZ")
  * (1 - S "/@") ^ 0 * "/"

-- The parts in their order: what they begin with, and what they are made of.
local parts <const> = {
  registry = { host * #P "/", "a registry is HOST or HOST:PORT" },
  repository = { component * ("/" * component) ^ 0,
    "a repository is small letters and digits, with one of . _ __ - between them, in parts "
      .. "between which / stands" },
  tag = { (letter + "_") * (letter + S "_.-") ^ 0,
    "a tag is letters, digits and . _ -, and begins with none of . -" },
  digest = { digits,
    "a digest is sha256: and 64 hexadecimal digits in small letters" },
}

local reference = {}

local whole_digest <const> = digits * -1

--- Whether a value is a digest as registries and stores use it, and so no path or anything else.
---@param value any
---@return boolean
function reference.is_digest(value)
  return type(value) == "string" and whole_digest:match(value) ~= nil
end

local function refuse(text, at, why)
  local err = error_object.new {
    code = "EINVAL",
    message = ("cannot read the image reference '%s' from '%s' on: %s"):format(text, text:sub(at),
      why),
  }
  local scheme <const> = text:match "^%w+://"
  if not scheme then return nil, err end
  return nil, err:with_advice(("leave %s away"):format(scheme))
end

-- Reads one part; the place behind it, or nil and the refusal.
local function read(self, name, text, at)
  local pattern <const>, rule <const> = table.unpack(parts[name])
  local value, stop = (C(pattern) * Cp()):match(text, at)
  if not value then return refuse(text, at, rule) end
  self[name] = value
  return stop
end

-- What follows the repository: a tag, a digest, both or nothing.
local function read_version(self, text, at)
  local err
  for _, each in ipairs { { ":", "tag" }, { "@", "digest" } } do
    if text:sub(at, at) == each[1] then
      at, err = read(self, each[2], text, at + 1)
      if not at then return nil, err end
    end
  end
  if at <= #text then
    local last <const> = self.digest and "digest" or self.tag and "tag" or "repository"
    return refuse(text, at, parts[last][2])
  end
  return at
end

local function check_lengths(self, text)
  if #self.registry + 1 + #self.repository > LONGEST_NAME then
    return refuse(text, 1, ("registry and repository have at most %d bytes"):format(LONGEST_NAME))
  end
  if self.tag and #self.tag > LONGEST_TAG then
    return refuse(text, text:find(":" .. self.tag, 1, true) + 1,
      ("a tag has at most %d bytes"):format(LONGEST_TAG))
  end
  return true
end

-- As Docker, Podman and skopeo do it: no host means Docker Hub, and one component there is one of
-- its own library.
local function fill_in(self)
  if not self.registry or self.registry == "index.docker.io" then self.registry = "docker.io" end
  if self.registry == "docker.io" and not self.repository:find("/", 1, true) then
    self.repository = "library/" .. self.repository
  end
  if not self.tag and not self.digest then self.tag = "latest" end
end

--- Reads a reference.
---@param text string
---@return bpf.reference?
---@return bpf.error?
function reference.parse(text)
  local self <const> = setmetatable({}, metatable)
  local at = 1
  if has_host:match(text) then
    local stop, err = read(self, "registry", text, at)
    if not stop then return nil, err end
    at = stop + 1
  end
  local good, err = read(self, "repository", text, at)
  if good then good, err = read_version(self, text, good) end
  if not good then return nil, err end
  fill_in(self)
  good, err = check_lengths(self, text)
  if not good then return nil, err end
  return self
end

--- The canonical text, with registry, repository and tag or digest or both.
---@return string
function methods:text()
  return self:name() .. (self.tag and ":" .. self.tag or "")
    .. (self.digest and "@" .. self.digest or "")
end

metatable.__tostring = methods.text

--- Registry and repository.
---@return string
function methods:name()
  return self.registry .. "/" .. self.repository
end

--- What a registry is asked for: the digest, or the tag.
---@return string
function methods:version()
  return self.digest or self.tag
end

--- The same repository at another tag or digest.
---@param version string
---@return bpf.reference
function methods:at(version)
  local is_digest <const> = version:find(":", 1, true) ~= nil
  return setmetatable({
    registry = self.registry, repository = self.repository,
    tag = not is_digest and version or nil, digest = is_digest and version or nil,
  }, metatable)
end

return reference
