-- program.load, replace, unload, get, list.

local attach_check = require "bpf.attach"
local bpf = require "bpf"
local chain_follow = require "bpfd.chain_follow"
local error_object = require "bpf.error"
local field = require "bpf.field"
local foreign_chains = require "bpfd.foreign_chains"
local images = require "bpfd.images"
local json = require "bpf.json"
local metadata = require "bpfd.metadata"
local program_object = require "bpfd.program_object"
local program_types = require "bpf.program_types"
local programs = require "bpfd.programs"

local program = {}

local function refusal(message, advice)
  return nil, error_object.new { code = "EINVAL", message = message, advice = advice }
end

local function id_in(value, name, what)
  local id = type(value) == "number" and math.tointeger(value)
  if id and id > 0 and id < 1 << 32 then return id end
  return refusal(("%s must be %s"):format(name, what or "a program id"))
end

local function check_name(name)
  if type(name) ~= "string" or name == "" or name:find "[%z/]" then
    return refusal "name must be the name of a function in the object"
  end
  return name
end

-- An image knows the name of its program; what is in a file, the user must know.
local function read_source(daemon, params, wish)
  local err
  if params.image_url == nil then
    for _, key in ipairs { "registry_auth", "pull_policy" } do
      if params[key] ~= nil then return refusal(key .. " belongs to image_url") end
    end
    wish.name, err = check_name(params.name)
    return wish.name, err
  end
  if params.fd ~= nil or params.path ~= nil then
    return refusal "image_url, fd and path exclude each other"
  end
  if params.name ~= nil and params.name ~= "" then
    wish.name, err = check_name(params.name)
    if not wish.name then return nil, err end
  end
  wish.image, err = images.wish(daemon, params)
  return wish.image, err
end

local function read_wish(daemon, params)
  local wish = {}
  if params.persist ~= nil and type(params.persist) ~= "boolean" then
    return refusal "persist must be true or false"
  end
  wish.persist = params.persist == true
  local good, err = read_source(daemon, params, wish)
  if not good then return nil, err end
  wish.attach, err = attach_check.check(params.attach)
  if not wish.attach then return nil, err end
  wish.global, err = metadata.texts(params.global, "global")
  if not wish.global then return nil, err end
  wish.metadata, err = metadata.texts(params.metadata, "metadata")
  if not wish.metadata then return nil, err end
  if params.map_owner_id ~= nil then
    wish.map_owner_id, err = id_in(params.map_owner_id, "map_owner_id")
    if not wish.map_owner_id then return nil, err end
  end
  return wish
end

program["program.load"] = {
  in_turn = true,
  parameters = { fd = true, path = true, image_url = true, registry_auth = true,
    pull_policy = true, name = true, global = true, metadata = true, map_owner_id = true,
    persist = true, attach = true },
  run = function(daemon, request)
    local wish, err = read_wish(daemon, request.params)
    if not wish then return nil, err end
    return programs.load(daemon, request, wish)
  end,
}

-- An attach table in which what is not given is as it was.
local function inherit_attach(note, iface, given)
  if given ~= nil and type(given) ~= "table" then return given end
  if given and given.type ~= nil and given.type ~= note.type then return given end
  local attach = { type = note.type }
  for _, description in ipairs(attach_check.types[note.type]) do
    attach[description.name] = note.attach[description.name]
  end
  attach.iface = iface or attach.iface
  for key, value in pairs(given or {}) do attach[key] = value end
  return attach
end

local function inherit(row, params)
  local note <const> = row.note
  local iface <const> = row.ifindex and bpf.network.name(row.ifindex)
  local all = { name = note.name, global = note.global, metadata = note.metadata,
    persist = note.persist, map_owner_id = row.map_owner_id }
  for key, value in pairs(params) do all[key] = value end
  all.attach = inherit_attach(note, iface, params.attach)
  return all
end

program["program.replace"] = {
  in_turn = true,
  parameters = { id = true, fd = true, path = true, image_url = true, registry_auth = true,
    pull_policy = true, name = true, global = true, metadata = true, map_owner_id = true,
    persist = true, attach = true },
  run = function(daemon, request)
    local id, err = id_in(request.params.id, "id")
    if not id then return nil, err end
    local row <const> = daemon.store:program(id)
    if not row then return programs.not_ours(id) end
    local wish
    wish, err = read_wish(daemon, inherit(row, request.params))
    if not wish then return nil, err end
    wish.replaces, wish.label, wish.declared_by = id, row.note.label, row.note.declared_by
    wish.pattern, wish.persisted = row.note.pattern, row.note.persisted
    return programs.load(daemon, request, wish)
  end,
}

program["program.unload"] = {
  in_turn = true,
  parameters = { id = true, persisted = true, missing_ok = true },
  run = function(daemon, request)
    local params <const> = request.params
    local by_number <const> = params.persisted ~= nil
    if by_number and params.id ~= nil then return refusal "id and persisted exclude each other" end
    local key <const> = by_number and "persisted" or "id"
    local which, err = id_in(params[key], key, by_number and "the number of a persisted program")
    if not which then return nil, err end
    local unload <const> = by_number and programs.unload_persisted or programs.unload
    local done
    done, err = unload(daemon, request, which)
    if not done and not (err.code == "ENOENT" and params.missing_ok == true) then
      return nil, err
    end
    return { [key] = which }
  end,
}

program["program.get"] = {
  parameters = { id = true },
  run = function(daemon, request)
    local id, err = id_in(request.params.id, "id")
    if not id then return nil, err end
    chain_follow.catch_up(daemon)
    local row = daemon.store:program(id)
    if row then return program_object.whole(daemon, row) end
    local found <close> = bpf.program.open_id(id)
    local info = found and found:info()
    if info then
      return program_object.foreign(info, true, foreign_chains.attaches(daemon)[id])
    end
    return nil, error_object.new { code = "ENOENT", message = ("there is no program %d"):format(id),
      advice = "bpfctl list --all shows the ids" }
  end,
}

-- A set of the words of program_type, which may be one word or a list; nil for all.
local function wanted_types(value)
  if value == nil then return nil end
  if type(value) == "string" then value = { value } end
  if type(value) ~= "table" then return refusal "program_type must be a word or a list of words" end
  local set = {}
  for _, word in ipairs(value) do
    if not field.is_one_of(word, program_types.names) then
      return refusal("program_type " .. field.unknown(word, program_types.names))
    end
    set[word] = true
    if word == "probe" then set.kprobe, set.uprobe = true, true end
  end
  return set
end

-- Those that are not ours; `values` knows all of ours.
local function add_foreign(daemon, values, ids, types)
  local attaches <const> = foreign_chains.attaches(daemon)
  for id in bpf.program.each() do
    local found <close> = values[id] == nil and bpf.program.open_id(id) or nil
    local info = found and found:info()
    if info and (not types or types[info.type]) then
      values[id] = program_object.foreign(info, false, attaches[id])
      table.insert(ids, id)
    end
  end
  table.sort(ids)
end

program["program.list"] = {
  parameters = { all = true, program_type = true, metadata = true, selector = true },
  run = function(daemon, request)
    local params <const> = request.params
    local types, err = wanted_types(params.program_type)
    if err then return nil, err end
    local matches
    matches, err = metadata.filter(params)
    if err then return nil, err end
    chain_follow.catch_up(daemon)
    local values, ids, known = {}, {}, {}
    for row in daemon.store:programs() do
      local is_wanted <const> = (not types or types[row.type]) and (not matches
        or matches(json.decode(daemon.store:parts_to_show(row.id).object).metadata))
      values[row.id] = is_wanted and program_object.listed(daemon, row, known) or false
      if is_wanted then table.insert(ids, row.id) end
    end
    if params.all == true and not matches then add_foreign(daemon, values, ids, types) end
    for place, id in ipairs(ids) do ids[place] = values[id] end
    return { programs = ids }
  end,
}

return program
