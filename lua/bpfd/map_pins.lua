-- Maps of a load, in a job: which are shared, and where they are pinned.

local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"
local tree = require "bpfd.tree"

local map_pins = {}

local DIRECTORY_MODE <const> = tonumber("755", 8)
local PIN_MODE <const> = tonumber("660", 8)

-- libbpf's data sections are each load's own.
local function public_maps(object)
  local maps = {}
  for name, map in pairs(object.maps) do
    if not map.is_data_section then maps[name] = map end
  end
  return maps
end

--- Lets the object use the maps of the owner that have the same name. Their shapes must be equal,
--- and there must be one at least.
---@param plan table
---@param object table
---@return true? ok, bpf.error? err
function map_pins.share(plan, object)
  local owner <const> = plan.note.map_owner_id
  plan.note.has_maps = next(public_maps(object)) ~= nil
  plan.shared = {}
  if not owner then return true end
  for name in pairs(public_maps(object)) do
    local path <const> = plan.dirs:maps(owner) .. "/" .. name
    if tree.exists(path) then
      local map <close>, err = bpf.map.open_pin(path)
      if not map then return nil, err end
      local good
      good, err = object:reuse_map(name, map)
      if not good then
        return nil, err:because(("sharing map %s of program %d"):format(name, owner))
      end
      plan.shared[name] = true
    end
  end
  if next(plan.shared) then return true end
  return nil, error_object.new { code = "ENOENT",
    message = ("program %d has no map of the same name as a map of this one"):format(owner) }
end

--- Pins every map that the program uses under its own directory: its chain is rebuilt from there,
--- and a program array without user would be emptied.
---@return true? ok, bpf.error? err
function map_pins.pin_used(program, directory)
  local good, err = tree.make(directory .. "/maps")
  if not good then return nil, err end
  for _, id in ipairs(program:info().map_ids) do
    local map <close>, failure = bpf.map.open_id(id)
    if not map then return nil, failure end
    good, err = map:pin(("%s/maps/%d"):format(directory, id))
    if not good then return nil, err end
  end
  return true
end

local function give_to_group(path, mode, group)
  if not group then return true end
  return core.system.set_access(path, mode, -1, group)
end

--- The loaded object's maps that users see, but for those that are another program's: their ids, by
--- which a pin that somebody removes can be put back.
---@return table<string, integer>
function map_pins.ids(plan, object)
  local ids = {}
  for name, map in pairs(public_maps(object)) do
    if not plan.shared[name] then ids[name] = map:info().id end
  end
  return ids
end

local function pin_for_users(map, path, group)
  local good, err = map:pin(path)
  if good then good, err = give_to_group(path, PIN_MODE, group) end
  return good, err
end

local function make_directory(directory, group)
  local good, err = tree.make(directory)
  if good then good, err = give_to_group(directory, DIRECTORY_MODE, group) end
  return good, err
end

--- Pins one map for users.
---@param dirs table
---@param id integer  of the program whose map it is
---@param name string
---@param map table
---@param group integer?
---@return true? ok, bpf.error? err
function map_pins.publish_one(dirs, id, name, map, group)
  local good, err = make_directory(dirs:maps(id), group)
  if good then good, err = pin_for_users(map, ("%s/%s"):format(dirs:maps(id), name), group) end
  return good, err
end

--- Pins the object's maps for users, but for those that are another program's already.
---@return true? ok, bpf.error? err
function map_pins.publish(plan, object, id)
  local maps = public_maps(object)
  for name in pairs(plan.shared) do maps[name] = nil end
  if not next(maps) then return true end
  local directory <const> = plan.dirs:maps(id)
  local good, err = make_directory(directory, plan.group)
  for name, map in pairs(maps) do
    if good then good, err = pin_for_users(map, directory .. "/" .. name, plan.group) end
  end
  if good then return true end
  bpf.pin.remove_tree(directory)
  return nil, err
end

return map_pins
