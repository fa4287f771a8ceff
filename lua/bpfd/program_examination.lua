-- One program's pins, in a job: which of them are gone, and what becomes of it without.

local bpf = require "bpf"
local attaching = require "bpfd.attaching"
local json = require "bpf.json"
local map_pins = require "bpfd.map_pins"
local place = require "bpfd.place"
local tree = require "bpfd.tree"

local program_examination = {}

-- One look at one program.
---@class bpfd.program_look
---@field dirs table
---@field id integer
---@field row table?        of store:known_programs
---@field subject string
---@field hook string?      of the chain that it is in, or was
---@field is_replaced boolean?  another one runs in its place
---@field home table        descriptor of the namespace to come back to
---@field group integer?    who may use the maps
---@field findings bpfd.findings

local RECORD_NAME <const> = "bpfd_record"

local function path_of(look, name) return ("%s/%s"):format(look.dirs:program(look.id), name) end

local function tell_pin(look, path, mend)
  look.findings:add({ code = "pin.missing", subject = look.subject,
    text = path .. " is gone", repair = "pin it again" }, mend)
end

-- What is not there is nil; what cannot be told is not taken for that.
local function certain(opened, err)
  if not opened and err.code ~= "ENOENT" then error(err) end
  return opened
end

-- A program that is in force is held by its link, or by its slot in a dispatcher.
local function look_at_program(look)
  local path <const> = path_of(look, "program")
  local program = certain(bpf.program.open_pin(path))
  if program then return program end
  program = certain(bpf.program.open_id(look.id))
  if program then tell_pin(look, path, function() return program:pin(path) end) end
  return program
end

-- The maps that the program uses, and its record among them.
local function maps_of(program)
  local maps, record = {}, nil
  for _, id in ipairs(program:info().map_ids) do
    local map <const> = bpf.map.open_id(id)
    if map and map:info().name == RECORD_NAME then
      record = map
    elseif map then
      maps[id] = map
    end
  end
  return maps, record
end

local function pin_map(map, path)
  local good, err = tree.make(path:match "^(.*)/")
  if good then good, err = map:pin(path) end
  return good, err
end

local function look_at_own_maps(look, maps)
  for id, map in pairs(maps) do
    local path <const> = path_of(look, "maps/" .. id)
    if not tree.exists(path) then
      tell_pin(look, path, function() return pin_map(map, path) end)
    end
  end
end

-- What users see: only programs loaded since names are noted can have it mended.
local function look_at_public_maps(look, note, maps)
  for name, id in pairs(note.maps or {}) do
    local path <const> = ("%s/%s"):format(look.dirs:maps(look.id), name)
    if maps[id] and not tree.exists(path) then
      tell_pin(look, path, function()
        return map_pins.publish_one(look.dirs, look.id, name, maps[id], look.group)
      end)
    end
  end
end

local function look_at_maps(look, program)
  local maps <const>, record <const> = maps_of(program)
  local path <const> = path_of(look, "record")
  if record and not tree.exists(path) then
    tell_pin(look, path, function() return record:pin(path) end)
  end
  look_at_own_maps(look, maps)
  local text <const> = look.row and look.row.maps
  local note <const> = text and { maps = json.decode(text) } or tree.note(look.dirs, look.id)
  if note then look_at_public_maps(look, note, maps) end
  for _, map in pairs(maps) do map:close() end
  if record then record:close() end
end

-- Attaches what is no member of a chain, as its load did.
local function attach_again(look, note)
  local program <close>, err = bpf.program.open_pin(path_of(look, "program"))
  if not program then return nil, err end
  local path <const> = path_of(look, "link")
  local good, link = true, nil
  if tree.exists(path) then good, err = bpf.pin.unlink(path) end
  if good then link, err = attaching.attach(program, note.attach, { dirs = look.dirs }) end
  if not link then return nil, err end
  good, err = link:pin(path)
  link:close()
  return good, err
end

-- From the network namespace of the program, where there is one.
local function in_place(look, note, body)
  if not note.attach.netns then return body() end
  local good, err = place.enter(note.attach)
  if not good then return nil, err end
  good, err = body()
  assert(bpf.network.enter(look.home:fd()))
  return good, err
end

local function has_interface(look, note)
  if not note.attach.ifindex then return true end
  return in_place(look, note, function()
    local is_same, err = place.is_same_interface(note.interface_id, note.attach.ifindex)
    if is_same == nil then error(err) end
    return is_same
  end)
end

-- Its link ended, and not by our hand.
local function tell_detached(look)
  local note <const>, err = tree.note(look.dirs, look.id)
  if not note then
    return look.findings:add { code = "program.detached", subject = look.subject,
      text = ("somebody has detached it, and where it was cannot be read: %s. Unload it, and load \z
        it again"):format(tostring(err)) }
  elseif not has_interface(look, note) then
    return look.findings:add { code = "interface.gone", subject = look.subject,
      text = ("its interface %s is gone"):format(note.attach.iface), repair = "forget it",
      action = { kind = "drop", ids = { look.id } } }
  end
  look.findings:add({ code = "program.detached", subject = look.subject,
    text = "somebody has detached it; it does not run", repair = "attach it again" },
    function()
      return in_place(look, note, function() return attach_again(look, note) end)
    end)
end

-- Something that the index does not know and nothing runs, or that was to leave.
local function drop(look)
  look.findings:add({ code = "attempt.left", subject = look.subject,
    text = "a change that died has left its pins", repair = "remove them" },
    function() return tree.remove_program(look.dirs, look.id) end)
  return false
end

-- Of a member of a chain its code may run on, as part of the chain.
local function tell_lost(look, runs)
  local text = "its pins are gone, and with them the program"
  if runs then
    look.findings:add { code = "program.lost", subject = look.subject,
      text = text .. "; what it does runs on as a part of the chain, until that is changed. Load \z
        it again, and unload this one" }
    return true
  end
  look.findings:add({ code = "program.lost", subject = look.subject, text = text,
    repair = "forget it" }, function() return tree.remove_program(look.dirs, look.id) end)
  return false
end

local function is_of_another_version(look)
  local note, err = tree.note(look.dirs, look.id)
  return not note and err.code == "EINVAL"
end

--- Looks at a program.
---@param look bpfd.program_look
---@param chain table?  the manifest of the chain that it is in
---@return boolean is_ours  whether it is to be listed
function program_examination.look(look, chain)
  local runs <const> = tree.link_runs(look.dirs, look.id) or chain ~= nil and chain.head ~= nil
  local leaving <const> = tree.is_leaving(look.dirs, look.id)
  if look.is_replaced or leaving and not runs then return drop(look) end
  if leaving and look.findings.mends then tree.unmark_leaving(look.dirs, look.id) end
  if not runs and not chain and not look.row then
    if not is_of_another_version(look) then return drop(look) end
    look.findings:add { code = "record.unreadable", subject = look.subject,
      text = "another version of bpfd has written its record; use that one" }
    return false
  end
  local program <close> = look_at_program(look)
  if not program then return tell_lost(look, runs) end
  look_at_maps(look, program)
  if not runs and not look.hook then tell_detached(look) end
  return true
end

--- What a program is called in findings.
---@param id integer
---@param row table?
---@return string
function program_examination.title(id, row)
  if not row or not row.name then return ("program %d"):format(id) end
  return ("program %d (%s)"):format(id, row.name)
end

return program_examination
