-- Signs an image in its registry with a local key.

local key_files = require "bpfctl.key_files"
local own_registry = require "bpfctl.own_registry"
local shared = require "bpfctl.shared_options"

local sign = {
  name = "sign",
  summary = "Sign a bytecode image in its registry with a local key",
  options = {
    shared.image_url,
    {
      name = "key", kind = "string", metavar = "PATH", required = true, complete = "file",
      text = [[
Private key: one of image generate-keys or of cosign, or one of OpenSSL
without a passphrase. Earlier signatures stay.
Example: --key acme.key]],
    },
    key_files.passphrase_option, table.unpack(own_registry.options),
  },
  draws = "signed",
}

local function read_key(arguments)
  local text, err = key_files.read(arguments.key, "key")
  if not text then return nil, err end
  local passphrase
  passphrase, err = key_files.passphrase(arguments.passphrase_file)
  if err then return nil, err end
  local key
  key, err = require("bpf.image.key").private(text, passphrase)
  if key then return key end
  if err.code == "ENOKEY" then
    err = err:with_advice "--passphrase-file PATH gives it"
  end
  return nil, err:because("reading the key " .. arguments.key)
end

function sign.run(_, arguments)
  local key, err = read_key(arguments)
  if not key then return nil, err end
  return own_registry.with_session(arguments, function(session)
    return require("bpf.image.signing").sign(session, key)
  end)
end

--- With -q.
function sign.brief(signed) return signed.digest .. "\n" end

return sign
