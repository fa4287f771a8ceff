-- What is pinned, read back: notes of programs, manifests of chains. Used by jobs and at the start;
-- nothing here touches the loop or the database.

local attach_check = require "bpf.attach"
local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"
local field = require "bpf.field"
local json = require "bpf.json"

local tree = {}

--- Whether something is there, of whatever kind.
---@param path string
---@return boolean
--- Raises where the kernel does not tell: what is taken for absent would be removed.
function tree.exists(path) return core.system.exists(path) end

--- Names in a directory, sorted; none if it is not there.
---@param path string
---@return string[]
--- Raises where the kernel does not tell, likewise.
function tree.names(path)
  local names, err = core.system.list(path)
  if not names and err.code ~= "ENOENT" then error(err) end
  names = names or {}
  table.sort(names)
  return names
end

--- Numbers that are names in a directory, ascending.
---@return integer[]
function tree.ids(path)
  local ids = {}
  for _, name in ipairs(tree.names(path)) do
    local id = name:find "^%d+$" and math.tointeger(tonumber(name))
    if id then table.insert(ids, id) end
  end
  table.sort(ids)
  return ids
end

---@return boolean
function tree.is_pinned(dirs, id) return tree.exists(dirs:program(id) .. "/program") end

-- Between the operation that takes a program out of force and the removal of its pins it looks as
-- if somebody else had detached it: the mark says that it was to leave.
local function mark_of(dirs, id) return dirs:program(id) .. "/leaving" end

---@return boolean
function tree.is_leaving(dirs, id) return tree.exists(mark_of(dirs, id)) end

--- Marks a program that is to leave; it goes with the program's directory.
---@return true? ok, bpf.error? err
function tree.mark_leaving(dirs, id)
  if not tree.exists(dirs:program(id)) then return true end
  return tree.make(mark_of(dirs, id))
end

--- It stays after all.
---@return true? ok, bpf.error? err
function tree.unmark_leaving(dirs, id) return bpf.pin.remove_tree(mark_of(dirs, id)) end

--- Removes all that is pinned of a program: the program first, so that what is killed here is not
--- taken for something that may run again.
---@return true? ok, bpf.error? err
function tree.remove_program(dirs, id)
  local good, err = bpf.pin.unlink(dirs:program(id) .. "/program")
  if not good and err.code ~= "ENOENT" then return nil, err end
  return bpf.pin.remove_tree(dirs:program(id))
end

--- The bytes that a frozen map keeps, and the map's id.
---@return string? bytes, integer|bpf.error id_or_err
function tree.read_blob(path)
  local map <close>, err = bpf.map.open_pin(path)
  if not map then return nil, err end
  local bytes, info
  bytes, err = map:blob()
  if bytes then info, err = map:info() end
  if not info then return nil, err:because("reading " .. path) end
  return bytes, info.id
end

--- A program's record, and its map's id.
function tree.record(dirs, id)
  return tree.read_blob(dirs:program(id) .. "/record")
end

-- Records of chains begin with an engine's magic, those of others are the note alone.
local function note_in(record)
  if record:sub(1, 1) == "{" then return record end
  return bpf.chain.note(record)
end

local needed <const> = { name = "string", type = "string", attach = "table",
  loaded_at = "integer" }
local possible <const> = { metadata = "table", global = "table", label = "string",
  declared_by = "string", pattern = "string", path = "string", image_url = "string",
  digest = "string", map_owner_id = "integer", persist = "boolean", replaces = "integer" }
local of_attach <const> = { iface = "string", ifindex = "integer", netns = "string",
  direction = "string", priority = "integer", proceed_on = "table", hook = "string" }

local function are_texts(value)
  for key, text in pairs(value or {}) do
    if type(key) ~= "string" or type(text) ~= "string" then return false end
  end
  return true
end

-- What nobody could go on without: the pins are all that is known of a program.
local function is_note(value)
  return type(value) == "table" and field.are_of_kind(value, needed, true)
    and field.are_of_kind(value, possible) and field.are_of_kind(value.attach, of_attach)
    and value.attach.type == value.type and attach_check.types[value.type] ~= nil
    and are_texts(value.metadata) and are_texts(value.global)
end

--- What a record tells of how its program was loaded.
---@param record string
---@return table? note, bpf.error? err
function tree.note_of(record)
  local text, err = note_in(record)
  if not text then return nil, err end
  local note
  note, err = json.decode(text)
  if err or is_note(note) then return note, err end
  return nil, error_object.new { code = "EINVAL", message = "a damaged record" }
end

--- What a program was loaded with, as its record tells.
---@return table? note, bpf.error? err
function tree.note(dirs, id)
  local record, map_id = tree.record(dirs, id)
  if not record then return nil, map_id end
  local note, err = tree.note_of(record)
  if not note then return nil, err end
  note.record_map_id = map_id
  return note
end

--- The link of a hook, and what it runs: nil without a link; `severed` when the interface is gone.
---@return table? link, table? info
--- Raises where the kernel does not tell: a chain that is taken for gone would be detached.
function tree.hook_link(dirs, hook_name)
  local link, err = bpf.link.open_pin(dirs:chain(hook_name) .. "/link")
  if not link then
    if err.code ~= "ENOENT" then error(err:because("opening the link of " .. hook_name)) end
    return nil
  end
  local info
  info, err = link:info()
  if not info then error(err:because("asking for the link of " .. hook_name)) end
  info.severed = info.ifindex == 0
  return link, info
end

--- Whether what is no member of a chain runs: nil without a link, false where its link has ended.
---@return boolean?
--- Raises where the kernel does not tell, likewise.
function tree.link_runs(dirs, id)
  local link <close>, err = bpf.link.open_pin(dirs:program(id) .. "/link")
  if not link then
    if err.code ~= "ENOENT" then error(err) end
    return nil
  end
  local info
  info, err = link:info()
  if not info then error(err) end
  return not info.severed
end

--- Members of a manifest whose programs are still there; those of others are as they are told.
---@return table[]
function tree.living_members(dirs, manifest)
  local living = {}
  for _, member in ipairs(manifest.members) do
    if member.owner or tree.is_pinned(dirs, member.id) then
      table.insert(living, member)
    end
  end
  return living
end

--- Makes a directory in the bpffs; one that is there already is fine.
---@return true? ok, bpf.error? err
function tree.make(path)
  local made, err = core.system.make_directory(path, tonumber("755", 8))
  if made or err.code == "EEXIST" then return true end
  return nil, err
end

return tree
