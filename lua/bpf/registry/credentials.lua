-- Who asks a registry: what the user says, else what Podman or Docker have noted, else nobody.
-- Read by the client, for the user's files are none of the daemon's business.

local error_object = require "bpf.error"
local base64 = require "bpf.base64"
local json = require "bpf.json"

local credentials = {}

local function refuse(message, advice)
  return nil, error_object.new { code = "EINVAL", message = message, advice = advice }
end

-- USER:PASSWORD in base64, with words for what it is called where it stands.
local function read(text, what)
  local plain <const> = base64.decode(text)
  if not plain then return refuse(what .. " is no base64") end
  local username <const>, password <const> = plain:match "^([^:]*):(.*)$"
  if not username then return refuse(what .. " has no colon between user name and password") end
  if plain:find "%c" then return refuse(what .. " has control characters in it") end
  return { username = username, password = password }
end

--- Reads `registry_auth`: base64 of USER:PASSWORD.
---@param text string
---@return bpf.registry.credentials?
---@return bpf.error?
function credentials.decode(text)
  local found, err = read(text, "the registry authentication")
  if found then return found end
  return nil, err:with_advice "printf '%s' USER:PASSWORD | base64 prints it"
end

--- The form in which they travel to the daemon.
---@param of bpf.registry.credentials
---@return string  base64
function credentials.encode(of)
  return base64.encode(of.username .. ":" .. of.password)
end

-- Where Podman looks, then Docker's own; the first that knows the registry counts.
local function files(environment)
  local named <const> = environment "REGISTRY_AUTH_FILE"
  if named then return { named }, true end
  local run <const>, home <const> = environment "XDG_RUNTIME_DIR", environment "HOME"
  local docker <const> = environment "DOCKER_CONFIG" or home and home .. "/.docker"
  local config <const> = environment "XDG_CONFIG_HOME" or home and home .. "/.config"
  return {
    run and run .. "/containers/auth.json" or false,
    config and config .. "/containers/auth.json" or false,
    docker and docker .. "/config.json" or false,
  }, false
end

local hub_names <const> = { "index.docker.io", "https://index.docker.io/v1/",
  "registry-1.docker.io" }

-- What a registry's entries may be called, the longest key first; Docker's own have a scheme.
local function keys(reference)
  local names, name = {}, reference:name()
  while name do
    names[#names + 1] = name
    name = name:match "^(.*)/[^/]*$"
  end
  local host <const> = reference.registry
  local other <const> = host == "docker.io" and hub_names
    or { "https://" .. host, "https://" .. host .. "/", "http://" .. host }
  return table.move(other, 1, #other, #names + 1, names)
end

local function entry_of(value, key)
  local auths <const> = value.auths
  local entry <const> = type(auths) == "table" and auths[key]
  return type(entry) == "table" and next(entry) ~= nil and entry or nil
end

-- A program that would have to be run for the password, in words.
local function helper_of(value, reference, path)
  local by_host <const> = value.credHelpers
  local own <const> = type(by_host) == "table" and by_host[reference.registry]
  local helper <const> = own or value.credsStore
  if type(helper) ~= "string" or helper == "" then return nil end
  return ("%s leaves the password to docker-credential-%s, which is not run"):format(path, helper)
end

local function from_entry(entry, path, key)
  local what <const> = ("the entry %s of %s"):format(key, path)
  if type(entry.identitytoken) == "string" and entry.identitytoken ~= "" then
    return nil, nil, what .. " has an identity token, which is not used"
  end
  if type(entry.auth) == "string" and entry.auth ~= "" then return read(entry.auth, what) end
  if type(entry.username) == "string" and type(entry.password) == "string" then
    return { username = entry.username, password = entry.password }
  end
  return nil, nil, what .. " has no password"
end

local function search(value, reference, path)
  for _, key in ipairs(keys(reference)) do
    local entry <const> = entry_of(value, key)
    if entry then return from_entry(entry, path, key) end
  end
  return nil, nil, helper_of(value, reference, path)
end

local function read_file(path)
  local file <close>, why, code = io.open(path, "rb")
  if not file then return nil, why, code end
  return file:read(1 << 20) or ""
end

local ENOENT <const>, ENOTDIR <const> = 2, 20

local function search_file(path, reference, must_exist)
  local text, why, code = read_file(path)
  if not text then
    if not must_exist and (code == ENOENT or code == ENOTDIR) then return nil end
    return refuse("cannot read the auth file " .. why)
  end
  local value, err = json.decode(text)
  if type(value) == "table" then return search(value, reference, path) end
  return refuse(("cannot read the auth file %s: %s"):format(path,
    err and err.message or "it is no JSON object"))
end

--- What the user's auth files have for a repository: the longest key that fits. Without any of them
--- nobody asks; the note then says what stands there and is not used, for when that is refused.
---@param reference bpf.reference
---@param environment (fun(name: string): string?)?  os.getenv when left out
---@return bpf.registry.credentials?
---@return bpf.error?
---@return string? note
function credentials.find(reference, environment)
  local paths <const>, is_named <const> = files(environment or os.getenv)
  local first_note
  for _, path in ipairs(paths) do
    if path then
      local found, err, note = search_file(path, reference, is_named)
      if found or err then return found, err end
      first_note = first_note or note
    end
  end
  return nil, nil, first_note
end

return credentials
