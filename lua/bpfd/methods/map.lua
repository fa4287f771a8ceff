-- map.list and map.open.

local bpf = require "bpf"
local error_object = require "bpf.error"
local tree = require "bpfd.tree"

local map = {}

local function refusal(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

-- The directory of a program's public maps, which may be another program's.
local function directory_of(daemon, program_id)
  local id = type(program_id) == "number" and math.tointeger(program_id)
  local row = id and daemon.store:program(id)
  if not row then
    return refusal("ENOENT", ("program %s was not loaded by bpfd"):format(tostring(program_id)))
  end
  return daemon.directories:maps(row.map_owner_id or row.id), row.map_owner_id or row.id
end

local function map_object(path, name, owner)
  local opened <close>, err = bpf.map.open_pin(path)
  if not opened then return nil, err end
  local object
  object, err = opened:info()
  if not object then return nil, err end
  object.name, object.pin_path, object.map_owner_id = name, path, owner
  return object
end

local function list_directory(maps, directory, owner)
  for _, name in ipairs(tree.names(directory)) do
    local object = map_object(directory .. "/" .. name, name, owner)
    if object then table.insert(maps, object) end
  end
end

map["map.list"] = {
  parameters = { program_id = true },
  run = function(daemon, request)
    local maps = {}
    if request.params.program_id ~= nil then
      local directory, owner = directory_of(daemon, request.params.program_id)
      if not directory then return nil, owner end
      list_directory(maps, directory, owner)
    else
      for _, id in ipairs(tree.ids(daemon.directories.fs .. "/maps")) do
        list_directory(maps, daemon.directories:maps(id), id)
      end
    end
    return { maps = maps }
  end,
}

-- Only maps that bpfd has pinned for users: others are not its to give.
local function path_by_id(daemon, id)
  for _, owner in ipairs(tree.ids(daemon.directories.fs .. "/maps")) do
    local maps = {}
    list_directory(maps, daemon.directories:maps(owner), owner)
    for _, object in ipairs(maps) do
      if object.id == id then return object.pin_path end
    end
  end
  return refusal("ENOENT", ("no map %s belongs to a program of bpfd's"):format(tostring(id)))
end

local function path_by_name(daemon, params)
  local directory, err = directory_of(daemon, params.program_id)
  if not directory then return nil, err end
  local name <const> = params.name
  if type(name) ~= "string" or name == "" or name:find "[/%z]" then
    return refusal("EINVAL", "name must be a map's")
  end
  if tree.exists(directory .. "/" .. name) then return directory .. "/" .. name end
  return refusal("ENOENT", ("program %d has no map %s"):format(params.program_id, name),
    ("it has %s"):format(table.concat(tree.names(directory), ", ")))
end

local function find(daemon, params)
  if params.id ~= nil then return path_by_id(daemon, params.id) end
  if params.program_id ~= nil then return path_by_name(daemon, params) end
  return refusal("EINVAL", "id, or program_id and name, must say which map")
end

map["map.open"] = {
  parameters = { id = true, program_id = true, name = true, mode = true },
  run = function(daemon, request)
    local params <const> = request.params
    local mode <const> = params.mode or "r"
    if mode ~= "r" and mode ~= "rw" then return refusal("EINVAL", 'mode must be "r" or "rw"') end
    local path, err = find(daemon, params)
    if not path then return nil, err end
    local opened
    opened, err = bpf.map.open_pin(path, mode)
    if not opened then return nil, err end
    return { fd = 0 }, nil, { opened }
  end,
}

return map
