-- A directory of a spec's own with files in it; closing removes it.
local uv = require "luv"

local folder = {}
folder.__index = folder

local made = 0

---@return table
function folder.new()
  made = made + 1
  local path = ("/tmp/bpfd-spec-%d-folder-%d"):format(uv.os_getpid(), made)
  assert(uv.fs_mkdir(path, tonumber("755", 8)))
  return setmetatable({ path = path }, folder)
end

---Writes a file, and makes the directories on the way to it.
---@return string path
function folder:write(name, text, mode)
  local path = self.path .. "/" .. name
  for at in name:gmatch "()/" do
    uv.fs_mkdir(self.path .. "/" .. name:sub(1, at - 1), tonumber("755", 8))
  end
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  if mode then assert(uv.fs_chmod(path, mode)) end
  return path
end

---A text with the directory's path written as HOME.
function folder:shortened(text)
  return (text:gsub(self.path:gsub("%p", "%%%0"), "HOME"))
end

function folder:__close() os.execute("rm -rf " .. self.path) end

folder.close = folder.__close

return folder
