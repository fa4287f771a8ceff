-- One program on its way from bytes to pins, in a job: copied, opened, verified, pinned. Nothing
-- runs it yet, and `drop` takes it back.

local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"
local global = require "bpf.global"
local json = require "bpf.json"
local nearest = require "bpf.nearest"
local sorted_keys = require "bpf.sorted_keys"
local map_pins = require "bpfd.map_pins"
local tree = require "bpfd.tree"

local system <const> = core.system

local loading = {}

---@class bpfd.addition
---@field name string       of the function in the object
---@field note table        what the record keeps of it
---@field source table|string|nil  descriptor of the object file, or its path
---@field image bpfd.image_wish?  where there is no source; it may name the program, too
---@field path string       what the object file is called
---@field global table<string, string>
---@field size_limit integer
---@field settings table?   of its interface
---@field engine_options table?
---@field target table?     descriptor of what a uprobe is put on
---@field netns table?      descriptor of the network namespace
---@field owner bpfd.addition?  of the same change, whose maps it shares

-- The object of an image brings its name along, and what is to be noted of the image.
local function take_from_image(addition)
  local sealed, facts = require("bpfd.image_source").open(addition.image, addition.name)
  if not sealed then return nil, facts end
  for key, value in pairs(facts.note) do addition.note[key] = value end
  addition.name = facts.note.name
  return sealed, facts.digest
end

local function seal(addition)
  local source <const> = addition.source
  if type(source) ~= "string" then
    return system.seal(source, addition.size_limit, addition.path)
  end
  local opened <close>, err = system.open(source)
  if not opened then return nil, err end
  return system.seal(opened, addition.size_limit, addition.path)
end

-- Sealed memory, and the digest of what is in it.
local function take_from_file(addition)
  local sealed, err = seal(addition)
  if not sealed then return nil, err end
  local hex
  hex, err = system.sha256(sealed)
  if not hex then return nil, err end
  return sealed, "sha256:" .. hex
end

--- What the client gave, copied once: digest and load see the same bytes. Additions from one file
--- share the copy.
---@param addition bpfd.addition
---@param copies table  of this change; filled
---@return table? sealed, bpf.error? err
function loading.copy(addition, copies)
  local key <const> = addition.source or addition
  local copied = copies[key]
  if not copied then
    local take <const> = addition.image and take_from_image or take_from_file
    local sealed, digest = take(addition)
    if not sealed then return nil, digest end
    copied = { sealed = sealed, digest = digest }
    copies[key] = copied
  end
  if addition.digest and addition.digest ~= copied.digest then
    return nil, error_object.new { code = "EBADMSG",
      message = ("the copy of %s that was kept is damaged"):format(addition.path) }
  end
  addition.note.digest = copied.digest
  return copied.sealed
end

local function set_globals(addition, object)
  local known = object:globals()
  addition.note.global = {}
  for name, value in pairs(addition.global) do
    local facts = known[name]
    if not facts then
      local near = nearest(name, sorted_keys(known))
      return nil, error_object.new { code = "ENOENT",
        message = ("there is no global variable %s in it"):format(name),
        advice = near and ("did you mean %s?"):format(near) or nil }
    end
    local bytes, err = global.fit(value, facts.size)
    if not bytes then return nil, err:because("setting global " .. name) end
    local good
    good, err = object:set_global(name, bytes)
    if not good then return nil, err:because("setting global " .. name) end
    addition.note.global[name] = (bytes:gsub(".", function(c) return ("%02X"):format(c:byte()) end))
  end
  return true
end

local kinds <const> = { tcx = "tc" }
local is_traced <const> = { fentry = true, fexit = true }

local function configure(addition, object)
  local attach <const> = addition.note.attach
  local good, err = object:choose { addition.name }
  if good then
    good, err = object:as(addition.name, kinds[attach.type] or attach.type,
      { fn_name = is_traced[attach.type] and attach.fn_name or nil })
  end
  if good then good, err = set_globals(addition, object) end
  if good then good, err = map_pins.share(addition, object) end
  return good, err
end

--- The object as the file has it. The first load is of the very object that was looked at.
---@return table? object, bpf.error? err
function loading.parse(addition, sealed)
  local object, err = bpf.object.open({ fd = sealed:fd() }, { name = addition.name })
  addition.parsed = object
  return object, err
end

--- An object ready to be loaded. One that is loaded cannot be loaded as something else: each try
--- has one of its own.
---@return table? object, bpf.error? err
function loading.open(addition, sealed)
  local object, err = addition.parsed, nil
  if not object then object, err = loading.parse(addition, sealed) end
  addition.parsed = nil
  if not object then return nil, err end
  local good
  good, err = configure(addition, object)
  if not good then return nil, err end
  return object
end

--- Into the kernel, past the verifier. Returns the record.
---@param addition bpfd.addition
---@param object table
---@param engine table?  of the chain that it will be part of
---@param hook table?    of that chain
---@return string? record, bpf.error? err
function loading.verify(addition, object, engine, hook)
  local good, err = true, nil
  if engine then good, err = engine.prepare(object, addition.name, hook) end
  if good then good, err = object:load() end
  if not good then return nil, err end
  addition.note.maps = map_pins.ids(addition, object)
  if not engine then return json.encode(addition.note) end
  return engine.record(object, addition.name, json.encode(addition.note))
end

-- Pins the loaded program under staging, complete with its record.
local function stage(addition, object, record)
  local program = object.programs[addition.name]
  local id <const> = program:info().id
  local directory <const> = ("%s/%d"):format(addition.staging, id)
  local good, err = tree.make(addition.staging)
  if good then good, err = tree.make(directory) end
  if good then good, err = map_pins.pin_used(program, directory) end
  local map
  if good then map, err = bpf.map.blob(record, "bpfd_record") end
  if not map then return nil, err end
  good, err = program:bind_map(map)
  if good then good, err = map:pin(directory .. "/record") end
  if good then good, err = program:pin(directory .. "/program") end
  if not good then return nil, err end
  return id, directory
end

--- Pins it, first in staging and then, complete, in its place.
---@return true? ok, bpf.error? err
function loading.pin(addition, object, record)
  local id, directory = stage(addition, object, record)
  if not id then return nil, directory end
  addition.id, addition.program = id, object.programs[addition.name]
  local good, err = map_pins.publish(addition, object, id)
  if good then good, err = bpf.pin.rename(directory, addition.dirs:program(id)) end
  if not good then loading.drop(addition) end
  return good, err
end

--- Takes it back.
function loading.drop(addition)
  local id <const> = addition.id
  if not id then return end
  bpf.pin.remove_tree(addition.dirs:program(id))
  bpf.pin.remove_tree(addition.dirs:maps(id))
  addition.id, addition.program = nil, nil
end

return loading
