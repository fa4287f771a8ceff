-- The lines typed before: one file for the user, readable by nobody else.

local core = require "bpf.core"
local own_files = require "bpfctl.own_files"

local system <const> = core.system
local most <const> = 1000

local history = {}
history.__index = history

local function make_folders(path)
  for at in path:gmatch "()/" do
    if at > 1 and not system.facts(path:sub(1, at - 1)) then
      system.make_directory(path:sub(1, at - 1), tonumber("700", 8))
    end
  end
  system.make_directory(path, tonumber("700", 8))
end

-- A folder of somebody else's could lead root's lines anywhere.
local function folder_of_ours()
  local path <const> = own_files.state_folder()
  if not path then return nil end
  make_folders(path)
  local facts <const> = system.facts(path)
  local ours <const> = facts and facts.kind == "directory" and facts.uid == system.identity().uid
  return ours and path or nil
end

local function read_lines(path)
  local file <close> = io.open(path)
  local lines = {}
  for line in file and file:lines() or function() end do lines[#lines + 1] = line end
  return table.move(lines, math.max(1, #lines - most + 1), #lines, 1, {}), #lines > 2 * most
end

local function append(path, text)
  local file <close> = system.open(path, "append")
  return file and system.write(file, text)
end

--- Opens the user's history; without a folder nothing is kept, and that is no error.
---@return table history
function history.open()
  local folder <const> = folder_of_ours()
  local self <const> = setmetatable({ lines = {}, path = folder and folder .. "/history" }, history)
  local facts <const> = self.path and system.facts(self.path)
  if not facts then return self end
  if facts.kind ~= "file" then
    self.path = nil
    return self
  end
  local is_long
  system.set_access(self.path, tonumber("600", 8))
  self.lines, is_long = read_lines(self.path)
  if is_long and append(self.path .. ".new", table.concat(self.lines, "\n") .. "\n") then
    system.rename(self.path .. ".new", self.path)
  end
  return self
end

---@param line string
function history:add(line)
  if line:find "^%s*$" or line == self.lines[#self.lines] then return false end
  self.lines[#self.lines + 1] = line
  if self.path then append(self.path, line .. "\n") end
  return true
end

return history
