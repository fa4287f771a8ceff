-- map.list and map.open.

local bpf = require "bpf"
local error_object = require "bpf.error"
local consult = require "bpfd.consult"
local tree = require "bpfd.tree"

local map = {}

local function refusal(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

-- The programs under whose ids a program's maps are pinned: itself, and whose maps it shares. All
-- that have maps, where no program is meant.
local function owners_of(daemon, program_id)
  if program_id == nil then return tree.ids(daemon.directories.fs .. "/maps") end
  local id = type(program_id) == "number" and math.tointeger(program_id)
  local row = id and daemon.store:program(id)
  if not row then
    return refusal("ENOENT", ("program %s was not loaded by bpfd"):format(tostring(program_id)))
  end
  return row.map_owner_id and { row.map_owner_id, id } or { id }
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

local function list_owned(daemon, maps, owner)
  local directory <const> = daemon.directories:maps(owner)
  for _, name in ipairs(tree.names(directory)) do
    local object = map_object(directory .. "/" .. name, name, owner)
    if object then table.insert(maps, object) end
  end
end

map["map.list"] = {
  parameters = { program_id = true },
  run = function(daemon, request)
    local owners, err = owners_of(daemon, request.params.program_id)
    if not owners then return nil, err end
    local maps = {}
    for _, owner in ipairs(owners) do list_owned(daemon, maps, owner) end
    return { maps = maps }
  end,
}

-- Only maps that bpfd has pinned for users: others are not its to give.
local function path_by_id(daemon, id)
  for _, owner in ipairs(tree.ids(daemon.directories.fs .. "/maps")) do
    local maps = {}
    list_owned(daemon, maps, owner)
    for _, object in ipairs(maps) do
      if object.id == id then return object.pin_path, owner end
    end
  end
  return refusal("ENOENT", ("no map %s belongs to a program of bpfd's"):format(tostring(id)))
end

local function path_by_name(daemon, params)
  local owners, err = owners_of(daemon, params.program_id)
  if not owners then return nil, err end
  local name <const> = params.name
  if type(name) ~= "string" or name == "" or name:find "[/%z]" then
    return refusal("EINVAL", "name must be a map's")
  end
  local names = {}
  for _, owner in ipairs(owners) do
    local directory <const> = daemon.directories:maps(owner)
    if tree.exists(directory .. "/" .. name) then return directory .. "/" .. name, owner end
    for _, known in ipairs(tree.names(directory)) do names[#names + 1] = known end
  end
  return refusal("ENOENT", ("program %d has no map %s"):format(params.program_id, name),
    ("it has %s"):format(table.concat(names, ", ")))
end

-- A map's own types, or those of a program that uses it: who may open neither gets a descriptor.
local function types_of(daemon, opened, owner)
  local info <const> = opened:info()
  local id = info and info.btf_id
  local users <const> = id and {} or { owner, table.unpack(daemon.store:map_users(owner)) }
  for _, program_id in ipairs(users) do
    local program <close> = bpf.program.open_pin(
      ("%s/program"):format(daemon.directories:program(program_id)))
    local facts <const> = program and program:info()
    id = id or facts and facts.btf_id
  end
  return id and bpf.btf.descriptor(id) or nil
end

local function find(daemon, params)
  if params.id ~= nil then return path_by_id(daemon, params.id) end
  if params.program_id ~= nil then return path_by_name(daemon, params) end
  return refusal("EINVAL", "id, or program_id and name, must say which map")
end

-- For policies: which map it is, and whose.
local function facts_of(path, mode)
  local owner <const>, name <const> = path:match "/(%d+)/([^/]+)$"
  local object = map_object(path, name, math.tointeger(owner))
  return { mode = mode, map = object, name = name, program_id = math.tointeger(owner) }
end

local function open(daemon, request, path, mode)
  if not daemon.policy:wants "map.open" then return bpf.map.open_pin(path, mode) end
  local facts <const> = facts_of(path, mode)
  local opened
  local allowed, err = consult.allowed(daemon, request, "map.open", facts)
  if allowed then opened, err = bpf.map.open_pin(path, mode) end
  consult.tell(daemon, request, "map.open", facts, err)
  return opened, err
end

map["map.open"] = {
  parameters = { id = true, program_id = true, name = true, mode = true },
  run = function(daemon, request)
    local params <const> = request.params
    local mode <const> = params.mode or "r"
    if mode ~= "r" and mode ~= "rw" then return refusal("EINVAL", 'mode must be "r" or "rw"') end
    local path, owner = find(daemon, params)
    if not path then return nil, owner end
    local opened, err = open(daemon, request, path, mode)
    if not opened then return nil, err end
    local types <const> = types_of(daemon, opened, owner)
    return { fd = 0, btf_fd = types and 1 or nil }, nil, { opened, types }
  end,
}

return map
