-- Tells whether an image is signed: the daemon's by its rules, one in a registry by a key.

local key_files = require "bpfctl.key_files"
local own_registry = require "bpfctl.own_registry"
local shared = require "bpfctl.shared_options"

local verify = {
  name = "verify",
  summary = "Tell whether a bytecode image is signed as it should be",
  options = {
    shared.image_url,
    {
      name = "key", kind = "string", metavar = "PATH", complete = "file",
      text = [[
Public key that must have signed the image in its registry; no daemon is
asked. Without one, bpfd tells what its rules say of the image that it has.
Example: --key acme.pub]],
    },
    table.unpack(own_registry.options),
  },
  validate = function(values)
    if values.key then return nil end
    for _, name in ipairs { "registry_auth", "plain_http", "ca" } do
      if values[name] then
        return ("--%s is for the registry, which is asked with --key only"):format(
          (name:gsub("_", "-")))
      end
    end
    return nil
  end,
  draws = "verified",
}

-- The digests that a signature may be for: of what the reference names, and of what is chosen.
local function digests_of(session)
  local manifest, err = session:manifest()
  if not manifest then return nil, err end
  local digests <const> = { manifest.digest }
  if require("bpf.registry.media_types").is_index(manifest.media_type) then
    local chosen
    chosen, err = require("bpf.registry.index").choose(manifest.bytes)
    if not chosen then return nil, err end
    digests[2] = chosen.digest
  end
  return digests
end

local function verify_by_key(session, key, path)
  local signature <const> = require "bpf.image.signature"
  local digests, err = digests_of(session)
  if not digests then return nil, err end
  local signatures
  signatures, err = signature.fetch(session, digests)
  if not signatures then return nil, err end
  local good
  good, err = signature.verify {
    reference = session.reference, digests = digests, signatures = signatures, key = key,
  }
  if not good then return nil, err:because("verifying " .. session.reference:text()) end
  return { image_url = session.reference:text(), digest = digests[1], decision = "signed",
    signed_by = path, reason = "a signature by the key is good" }
end

local function read_key(path)
  local text, err = key_files.read(path, "key")
  if not text then return nil, err end
  local keys
  keys, err = require("bpf.image.key").public(text)
  if not keys then return nil, err:because("reading the key " .. path) end
  return text
end

function verify.run(session, arguments)
  if not arguments.key then
    return session:call("image.verify", { image_url = arguments.image_url })
  end
  local key, err = read_key(arguments.key)
  if not key then return nil, err end
  return own_registry.with_session(arguments, function(registry_session)
    return verify_by_key(registry_session, key, arguments.key)
  end)
end

--- With -q: the exit status tells.
function verify.brief() return "" end

return verify
