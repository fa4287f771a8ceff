-- Finds and opens a map of the system by what a person knows of it.

local core = require "bpf.core"
local error_object = require "bpf.error"
local map = require "bpf.map"
local program = require "bpf.program"
local typed_map = require "bpf.typed_map"

local map_source = {}

local longest_name <const> = 15 -- bytes that the kernel keeps

local function refusal(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

-- Ids of maps: of a program, or all.
local function candidates(program_id)
  if not program_id then
    local ids = {}
    for id in map.each() do ids[#ids + 1] = id end
    return ids
  end
  local opened <close>, err = program.open_id(program_id)
  if not opened then return nil, err end
  local info
  info, err = opened:info()
  return info and info.map_ids, err
end

local function open_by_name(source)
  local ids, err = candidates(source.program_id)
  if not ids then return nil, err end
  local wanted <const>, found, names = source.name:sub(1, longest_name), {}, {}
  for _, id in ipairs(ids) do
    local opened <close> = core.map.open_id(id, "r")
    local info <const> = opened and opened:info()
    if info and info.name == wanted then found[#found + 1] = id end
    if info then names[#names + 1] = info.name end
  end
  if #found == 1 then return map.open_id(found[1], source.mode) end
  if #found > 1 then
    return refusal("EEXIST", ("%d maps are called %s"):format(#found, source.name),
      ("name one by its id: %s"):format(table.concat(found, ", ")))
  end
  return refusal("ENOENT", ("there is no map %s"):format(source.name),
    source.program_id and #names > 0 and ("program %d has %s"):format(source.program_id,
      table.concat(names, ", ")) or nil)
end

local function open_bytes(source)
  if source.client then return source.client:open_map(source) end
  if source.pin then return map.open_pin(source.pin, source.mode) end
  if source.id then return map.open_id(source.id, source.mode) end
  if not source.name then error("a map is opened by id, pin or name", 4) end
  local ok, opened, err = pcall(open_by_name, source)
  if ok then return opened, err end
  return nil, opened
end

local known_options <const> = {
  id = true, pin = true, name = true, program_id = true, client = true, mode = true, btf = true,
  key = true, value = true,
}

--- The map in bytes; errors of the kernel are told, not raised.
---@param source bpf.map_source
---@return bpf.map?
---@return bpf.error? err
map_source.bytes = open_bytes

---@param source bpf.map_source
---@return bpf.typed_map?
---@return bpf.error? err
function map_source.open(source)
  for key in pairs(source) do
    if not known_options[key] then error("map.open has no option " .. tostring(key), 3) end
  end
  local opened, err = open_bytes(source)
  if not opened then return nil, err end
  local typed
  typed, err = typed_map.new(opened, {
    btf = source.btf, key = source.key, value = source.value,
  })
  if typed then return typed end
  opened:close()
  return nil, err
end

return map_source
