-- Keys that images are signed with: ECDSA P-256. Private ones as cosign keeps them, behind a
-- passphrase, so that cosign and skopeo take them too, or as OpenSSL writes them, without one.

local core = require("bpf.core").signature
local base64 = require "bpf.base64"
local error_object = require "bpf.error"
local json = require "bpf.json"

local key = {}

-- The parameters that every tool of this format accepts.
local SCRYPT <const> = { N = 32768, r = 8, p = 1 }
local SALT <const>, NONCE <const> = 32, 24 -- bytes
local WRITTEN_AS <const> = "ENCRYPTED COSIGN PRIVATE KEY"

local boxed <const> = { [WRITTEN_AS] = true, ["ENCRYPTED SIGSTORE PRIVATE KEY"] = true }
local plain <const> = { ["PRIVATE KEY"] = true, ["EC PRIVATE KEY"] = true }

local function refuse(message, advice)
  return nil, error_object.new { code = "EINVAL", message = message, advice = advice }
end

-- The blocks of a PEM text: type, all of it, and what it has inside.
local function each_block(text)
  local at = 1
  return function()
    local start, stop, kind, body = text:find("%-%-%-%-%-BEGIN ([%u%d ]+)%-%-%-%-%-\r?\n(.-)"
      .. "%-%-%-%-%-END %1%-%-%-%-%-", at)
    if not start then return nil end
    at = stop + 1
    return kind, text:sub(start, stop) .. "\n", body
  end
end

local function write_block(kind, bytes)
  local text <const> = base64.encode(bytes):gsub(("."):rep(64), "%0\n"):gsub("\n$", "")
  return ("-----BEGIN %s-----\n%s\n-----END %s-----\n"):format(kind, text, kind)
end

--- The public keys of a PEM text, each as a text of its own.
---@param text string
---@return string[]?
---@return bpf.error?
function key.public(text)
  local keys = {}
  for kind, block in each_block(text) do
    if kind ~= "PUBLIC KEY" then
      return refuse(("among the public keys stands: %s"):format(kind:lower()))
    end
    local usable, err = core.verify(block, "", "")
    if usable == nil then return nil, err end
    keys[#keys + 1] = block
  end
  if #keys == 0 then
    return refuse("there is no public key in it", "it begins with -----BEGIN PUBLIC KEY-----")
  end
  return keys
end

local function read_box(body)
  local bytes <const> = base64.decode((body:gsub("%s", "")))
  local box <const> = bytes and json.decode(bytes)
  local kdf <const> = type(box) == "table" and box.kdf
  local cipher <const> = type(kdf) == "table" and box.cipher
  local parameters <const> = type(cipher) == "table" and kdf.params
  if type(parameters) ~= "table" or kdf.name ~= "scrypt" or cipher.name ~= "nacl/secretbox" then
    return nil
  end
  local salt, nonce, sealed = kdf.salt, cipher.nonce, box.ciphertext
  if type(salt) ~= "string" or type(nonce) ~= "string" or type(sealed) ~= "string" then
    return nil
  end
  salt, nonce, sealed = base64.decode(salt), base64.decode(nonce), base64.decode(sealed)
  local n <const>, r <const>, p <const> = parameters.N, parameters.r, parameters.p
  if not salt or not sealed or not nonce or #nonce ~= NONCE or math.type(n) ~= "integer"
      or math.type(r) ~= "integer" or math.type(p) ~= "integer" then
    return nil
  end
  return { salt = salt, nonce = nonce, sealed = sealed, n = n, r = r, p = p }
end

local function open_box(body, passphrase)
  local box <const> = read_box(body)
  if not box then return refuse "the private key is damaged, or of another form than cosign's" end
  if not passphrase then
    return nil, error_object.new { code = "ENOKEY",
      message = "the private key has a passphrase, and none is given" }
  end
  local secret, err = core.box_key(passphrase, box.salt, box.n, box.r, box.p)
  if not secret then return nil, err end
  local opened
  opened, err = core.open_box(secret, box.nonce, box.sealed)
  if opened then return opened end
  return nil, err or error_object.new { code = "EACCES",
    message = "the passphrase does not open the private key" }
end

--- A private key for core.signature, out of a PEM text.
---@param text string
---@param passphrase string?  of keys that have one
---@return string?
---@return bpf.error?
function key.private(text, passphrase)
  for kind, block, body in each_block(text) do
    if boxed[kind] then return open_box(body, passphrase) end
    if plain[kind] then
      local public, err = core.public(block)
      return public and block, err
    end
    if kind == "ENCRYPTED PRIVATE KEY" then
      return refuse("the private key is encrypted in OpenSSL's way, which is not read",
        "openssl pkcs8 -in KEY -out PLAIN takes the passphrase away")
    end
  end
  return refuse("there is no private key in it",
    ("it begins with -----BEGIN %s----- or -----BEGIN PRIVATE KEY-----"):format(WRITTEN_AS))
end

--- A new pair.
---@param passphrase string  may be empty
---@return { private: string, public: string }?  PEM
---@return bpf.error?
function key.generate(passphrase)
  local private, public = core.generate()
  if not private then return nil, public end
  local salt <const>, nonce <const> = core.random(SALT), core.random(NONCE)
  local secret, err = core.box_key(passphrase, salt, SCRYPT.N, SCRYPT.r, SCRYPT.p)
  if not secret then return nil, err end
  local box <const> = json.encode {
    kdf = { name = "scrypt", params = SCRYPT, salt = base64.encode(salt) },
    cipher = { name = "nacl/secretbox", nonce = base64.encode(nonce) },
    ciphertext = base64.encode(core.seal_box(secret, nonce, private)),
  }
  return { private = write_block(WRITTEN_AS, box), public = public }
end

return key
