-- Files that root runs: read at once, up to a size, and only where nobody else could have written
-- them.

local system = require("bpf.core").system
local error_object = require "bpf.error"

local trusted_file = {}

local function refusal(message, advice)
  return nil, error_object.new { code = "EINVAL", message = message, advice = advice }
end

--- Why it is not to be trusted; nil where it is.
---@param facts table  of the file or directory
---@param others integer  bits of its mode that it must not have
---@return string? why, string? advice
function trusted_file.danger(facts, path, others)
  local foreign <const> = facts.uid ~= 0 and facts.uid ~= system.identity().uid
  if not foreign and facts.mode & others == 0 then return nil end
  local who <const> = others & 16 ~= 0 and "go-w" or "o-w"
  return "others than root can write it", ("chown root %s && chmod %s %s"):format(path, who, path)
end

local function read_all(opened, path, largest)
  local text = ""
  while true do
    local bytes, err = system.read(opened, largest + 1)
    if not bytes then return nil, err:because("reading " .. path) end
    if bytes == "" then return text end
    text = text .. bytes
    if #text > largest then return refusal(path .. ":1: it grows while it is read") end
  end
end

--- The text of a regular file.
---@param path string
---@param options { largest: integer, others: integer? }  largest: bytes; others: bits of the mode
---  that it must not have, and root or ourselves must own it; nil: whoever may write it
---@return string? text, bpf.error? err
function trusted_file.read(path, options)
  local found <close>, err = system.open(path, "path") -- a FIFO would wait, a device might act
  if not found then return nil, err end
  local facts = system.facts(found)
  if not facts or facts.kind ~= "file" then return refusal(path .. ":1: it is no regular file") end
  local why, advice
  if options.others then why, advice = trusted_file.danger(facts, path, options.others) end
  if why then return refusal(("%s:1: %s"):format(path, why), advice) end
  if facts.size > options.largest then
    return refusal(("%s:1: it is larger than %d bytes"):format(path, options.largest))
  end
  local opened <close>, failure = system.open("/proc/self/fd/" .. found:fd())
  if not opened then return nil, failure end
  return read_all(opened, path, options.largest)
end

return trusted_file
