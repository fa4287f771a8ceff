-- Policy files as texts: read before anything of them runs.

local system = require("bpf.core").system
local error_object = require "bpf.error"

local sources = {}

local LARGEST <const> = 1 << 20 -- bytes of a file
local OTHERS_WRITE <const> = 2  -- of its mode

local function refusal(message, advice)
  return nil, error_object.new { code = "EINVAL", message = message, advice = advice }
end

local function read(path, trusts_owner)
  local opened <close>, err = system.open(path)
  if not opened then return nil, err end
  local facts = system.facts(opened)
  if not facts or facts.kind ~= "file" then
    return refusal(path .. ":1: it is no regular file", "put policies there and nothing else")
  end
  local foreign <const> = facts.uid ~= 0 and facts.uid ~= system.identity().uid
  if not trusts_owner and (foreign or facts.mode & OTHERS_WRITE ~= 0) then
    return refusal(path .. ":1: others than root can write it",
      ("chown root %s && chmod o-w %s"):format(path, path))
  end
  if facts.size > LARGEST then
    return refusal(("%s:1: it is larger than %d bytes"):format(path, LARGEST),
      "keep data out of policies, or split it")
  end
  local text = ""
  while true do
    local bytes
    bytes, err = system.read(opened, LARGEST + 1)
    if not bytes then return nil, err:because("reading " .. path) end
    if bytes == "" then return { path = path, text = text } end
    text = text .. bytes
    if #text > LARGEST then return refusal(path .. ":1: it grows while it is read") end
  end
end

--- One file, whoever it belongs to.
---@param path string
---@return { path: string, text: string }?, bpf.error? err
function sources.file(path) return read(path, true) end

--- Every NAME.lua of a directory, by name; none where there is no such directory. Others than root
--- must not be able to write them.
---@param directory string
---@return { path: string, text: string }[]?, bpf.error? err
function sources.directory(directory)
  local names, err = system.list(directory)
  if not names then
    if err.code == "ENOENT" then return {} end
    return nil, err
  end
  table.sort(names)
  local list = {}
  for _, name in ipairs(names) do
    if name:find "^[^.].*%.lua$" then
      local source
      source, err = read(directory .. "/" .. name, false)
      if not source then return nil, err end
      list[#list + 1] = source
    end
  end
  return list
end

return sources
