-- Makes a pair of keys for images.

local error_object = require "bpf.error"
local key_files = require "bpfctl.key_files"

local generate_keys = {
  name = "generate-keys",
  summary = "Make a pair of keys to sign bytecode images with",
  options = {
    {
      name = "key", kind = "string", metavar = "PATH", required = true, complete = "file",
      text = [[
File for the private key, in cosign's form; the public one is written
beside it with .pub for .key. Neither may be there yet.
Example: --key acme.key]],
    },
    key_files.passphrase_option,
  },
  draws = "generated",
}

local function refuse(message, advice)
  return nil, error_object.new { code = "EINVAL", message = message, advice = advice }
end

local function write(path, text, mode)
  local system <const> = require("bpf.core").system
  if system.facts(path) then return refuse(path .. " is there already") end
  local file <close>, why = io.open(path, "wb")
  if not file then return refuse("cannot write " .. why) end
  local good, err = system.set_access(path, mode)
  if not good then return nil, err end
  good, why = file:write(text)
  if not good then return refuse("cannot write " .. why) end
  return true
end

function generate_keys.run(_, arguments)
  local passphrase, err = key_files.passphrase(arguments.passphrase_file)
  if err then return nil, err end
  if not passphrase then
    return refuse("the private key needs a passphrase",
      "--passphrase-file PATH gives it; an empty file means none")
  end
  local private_path <const> = arguments.key
  local public_path <const> = private_path:gsub("%.key$", "") .. ".pub"
  local pair
  pair, err = require("bpf.image.key").generate(passphrase)
  if not pair then return nil, err end
  local good
  good, err = write(public_path, pair.public, tonumber("644", 8))
  if not good then return nil, err end
  good, err = write(private_path, pair.private, tonumber("600", 8))
  if not good then
    os.remove(public_path)
    return nil, err
  end
  return { private = private_path, public = public_path }
end

return generate_keys
