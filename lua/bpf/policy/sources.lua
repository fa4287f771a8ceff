-- Policy files as texts: read before anything of them runs.

local system = require("bpf.core").system
local trusted_file = require "bpf.trusted_file"

local sources = {}

local LARGEST <const> = 1 << 20 -- bytes of a file
local OTHERS_WRITE <const> = 2  -- of its mode

local function read(path, others)
  local text, err = trusted_file.read(path, { largest = LARGEST, others = others })
  return text and { path = path, text = text }, err
end

--- One file, whoever it belongs to.
---@param path string
---@return { path: string, text: string }?, bpf.error? err
function sources.file(path) return read(path) end

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
      source, err = read(directory .. "/" .. name, OTHERS_WRITE)
      if not source then return nil, err end
      list[#list + 1] = source
    end
  end
  return list
end

return sources
