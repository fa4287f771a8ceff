-- Keys of images as files, and their passphrases.

local error_object = require "bpf.error"

local key_files = {}

local LARGEST <const> = 64 * 1024 -- bytes

--- The option that names a file with a passphrase.
key_files.passphrase_option = {
  name = "passphrase_file", kind = "string", metavar = "PATH", complete = "file",
  text = "File whose first line is the passphrase of the key, or - for\nstandard input",
}

---@param path string
---@param what string  what it is, for the error
---@return string?
---@return bpf.error?
function key_files.read(path, what)
  local file <close>, why = io.open(path, "rb")
  local text
  if file then text, why = file:read(LARGEST) end
  if file and not text and not why then text = "" end
  if text then return text end
  return nil, error_object.new { code = "EINVAL",
    message = ("cannot read the %s %s"):format(what, why) }
end

--- The passphrase that the option names; nil without an error where it names none.
---@param path string?
---@return string?
---@return bpf.error?
function key_files.passphrase(path)
  if not path then return nil end
  if path == "-" then return (io.read "l" or "") end
  local text, err = key_files.read(path, "passphrase")
  if not text then return nil, err end
  return text:match "^([^\r\n]*)"
end

return key_files
