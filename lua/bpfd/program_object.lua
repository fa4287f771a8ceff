-- The one constructor of program objects, as lists, `get`, loads and policies show them.

local bpf = require "bpf"
local json = require "bpf.json"
local log = require "bpfd.log"
local time = require "bpfd.time"
local verdict = require "bpf.verdict"

local program_object = {}

local null <const> = json.null

local function absent(value)
  if value == nil then return null end
  return value
end

local chain_types <const> = { xdp = true, tc = true }

local attach_fields <const> = {
  xdp = { "netns" }, tc = { "netns" }, tcx = { "netns" },
  uprobe = { "fn_name", "pid", "container_pid" },
}

local function attach_text(note)
  local attach = {}
  for key, value in pairs(note.attach) do attach[key] = value end
  for _, key in ipairs(attach_fields[note.type] or {}) do attach[key] = absent(attach[key]) end
  attach.hook, attach.iface = nil, nil
  return json.encode(attach)
end

--- Gives a note the priority and the proceed-on set of its place in a chain: the manifest's word is
--- the last, the record's that of the load.
---@param note table
---@param member { priority: integer, mask: integer }
---@return boolean changed
function program_object.take_place(note, member)
  local attach <const> = note.attach
  if attach.priority == member.priority
      and verdict.encode(attach.type, attach.proceed_on) == member.mask then
    return false
  end
  attach.priority = member.priority
  attach.proceed_on = verdict.decode(attach.type, member.mask) or attach.proceed_on
  return true
end

--- What of a listed object never changes, as JSON: so that lists are made of ready texts.
---@param id integer
---@param note table  what its record keeps
---@return { object: string, attach: string }
function program_object.fixed(id, note)
  return { attach = attach_text(note), object = json.encode {
    id = id, name = note.name, type = note.type, managed = true,
    loaded_at = time.text(note.loaded_at), metadata = json.object(note.metadata or {}),
    label = absent(note.label), declared_by = absent(note.declared_by),
    persist = note.persist == true,
  } }
end

local function quoted(value)
  return value == nil and "null" or json.quote(value)
end

local function chain_of(daemon, hook, known)
  if not hook then return nil end
  known[hook] = known[hook] or daemon.store:chain(hook)
  return known[hook]
end

-- An interface that has gone keeps the name that it had at the load.
local function iface_of(row, known)
  if not row.ifindex then return row.iface end
  known[row.ifindex] = known[row.ifindex] or bpf.network.name(row.ifindex) or row.iface
  return known[row.ifindex]
end

-- Where a member stands is of now, as its interface's name is.
local function attach_now(daemon, row, parts, iface, known)
  local texts = { parts.attach:sub(1, -2) }
  if iface then texts[#texts + 1] = ',"iface":' .. quoted(iface) end
  if chain_types[row.type] then
    local chain = chain_of(daemon, parts.hook, known) or {}
    texts[#texts + 1] = (',"position":%s,"engine":%s'):format(parts.position or "null",
      quoted(chain.engine))
    if row.type == "xdp" then texts[#texts + 1] = ',"xdp_mode":' .. quoted(chain.xdp_mode) end
  end
  return table.concat(texts) .. "}"
end

--- What a list shows of one of ours, as a value that json.encode takes as it is.
---@param daemon table
---@param row table    of the store, by `programs` or `program`; or, of one that is not in it yet,
---  with the parts that it would have
---@param known table  what this list has asked for already: chains by hook, names by ifindex;
---  filled
---@return { text: string }
function program_object.listed(daemon, row, known)
  local shown <const>, id <const> = daemon.store.shown, row.id
  local iface <const> = iface_of(row, known)
  local before <const> = shown[id]
  if before and before.iface == iface then return before.value end
  local stored <const> = daemon.store:parts_to_show(id)
  local parts <const> = stored or row
  local value <const> = json.raw(('%s,"attach":%s}'):format(parts.object:sub(1, -2),
    attach_now(daemon, row, parts, iface, known)))
  shown[id] = stored and { iface = iface, value = value } or nil
  return value
end

local function add_details(object, daemon, row)
  local note <const> = row.note
  local owner <const> = row.map_owner_id
  for _, key in ipairs { "path", "image_url", "pull_policy", "digest", "signed_by" } do
    object[key] = absent(note[key])
  end
  object.global = json.object(note.global or {})
  object.map_pin_path = note.has_maps and daemon.directories:maps(owner or row.id) or null
  object.map_owner_id = absent(owner)
  object.map_used_by = note.has_maps and daemon.store:map_users(owner or row.id) or null
  object.amended = note.amended or {}
end

local kernel_fields <const> = {
  "id", "name", "type", "tag", "gpl_compatible", "btf_id", "bytes_xlated", "jited", "bytes_jited",
  "bytes_memlock", "verified_insns",
}

-- The kernel's word, but for what bpfd itself has bound to the program to remember it by.
local function kernel_object(info, row)
  local kernel = {}
  for _, key in ipairs(kernel_fields) do kernel[key] = absent(info[key]) end
  kernel.loaded_at = time.text(row and row.note.loaded_at or info.loaded_at_ns)
  kernel.name = info.name ~= "" and info.name or null
  kernel.map_ids = {}
  for _, id in ipairs(info.map_ids) do
    if not row or id ~= row.note.record_map_id then table.insert(kernel.map_ids, id) end
  end
  if row then kernel.type = row.type end -- the hook's, where the kernel says ext or kprobe
  return kernel
end

--- One of ours, with all that the kernel tells.
function program_object.whole(daemon, row)
  local program <close>, err =
    bpf.program.open_pin(daemon.directories:program(row.id) .. "/program")
  if not program then return nil, err end
  local info
  info, err = program:info()
  if not info then return nil, err end
  local object = json.decode(program_object.listed(daemon, row, {}).text, { null = true })
  add_details(object, daemon, row)
  object.kernel = kernel_object(info, row)
  return object
end

--- One of ours that has just been loaded. That has happened, and is told even where the kernel
--- cannot be asked now.
function program_object.loaded(daemon, row)
  local object, err = program_object.whole(daemon, row)
  if object then return object end
  log.warning("what the kernel tells of program %d is left out: %s", row.id, tostring(err))
  object = json.decode(program_object.listed(daemon, row, {}).text, { null = true })
  add_details(object, daemon, row)
  object.kernel = kernel_object({ id = row.id, map_ids = {} }, row)
  return object
end

--- Somebody else's.
---@param info table  the kernel's word
---@param whole boolean  with the kernel section
---@param attach table?  where it runs, if that is known
function program_object.foreign(info, whole, attach)
  local object = {
    id = info.id, name = info.name ~= "" and info.name or null, type = info.type, managed = false,
    loaded_at = time.text(info.loaded_at_ns), attach = attach,
  }
  if whole then object.kernel = kernel_object(info) end
  return object
end

return program_object
