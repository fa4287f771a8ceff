-- The one constructor of program objects, as lists, `get`, loads and policies show them.

local bpf = require "bpf"
local json = require "bpf.json"
local time = require "bpfd.time"

local program_object = {}

local null <const> = json.null

local function absent(value)
  if value == nil then return null end
  return value
end

local chain_types <const> = { xdp = true, tc = true }

-- The interface's name of now; in other namespaces, or when it is gone, the one it had at the load.
local function present_name(attach)
  if attach.netns or not attach.ifindex then return attach.iface end
  return bpf.network.name(attach.ifindex) or attach.iface
end

local attach_fields <const> = {
  xdp = { "netns" }, tc = { "netns" }, tcx = { "netns" },
  uprobe = { "fn_name", "pid", "container_pid" },
}

local function attach_object(row, chain)
  local attach = {}
  for key, value in pairs(row.note.attach) do attach[key] = value end
  for _, key in ipairs(attach_fields[row.type] or {}) do attach[key] = absent(attach[key]) end
  if attach.iface then attach.iface = present_name(row.note.attach) end
  if chain_types[row.type] then
    attach.position = absent(row.position)
    attach.engine = absent(chain and chain.engine)
    if row.type == "xdp" then attach.xdp_mode = absent(chain and chain.xdp_mode) end
  end
  attach.hook = nil
  return attach
end

local function chain_of(daemon, row, chains)
  if not row.hook then return nil end
  if not chains then return daemon.store:chain(row.hook) end
  chains[row.hook] = chains[row.hook] or daemon.store:chain(row.hook)
  return chains[row.hook]
end

--- What a list shows of one of ours.
---@param daemon table
---@param row table  of the store
---@param chains table?  what is known already of their chains, where there are many programs
function program_object.listed(daemon, row, chains)
  local note <const> = row.note
  return {
    id = row.id, name = note.name, type = row.type, managed = true,
    loaded_at = time.text(note.loaded_at), metadata = json.object(note.metadata or {}),
    attach = attach_object(row, chain_of(daemon, row, chains)),
    label = absent(note.label), declared_by = absent(note.declared_by),
    persist = note.persist == true,
  }
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
  local object = program_object.listed(daemon, row)
  add_details(object, daemon, row)
  object.kernel = kernel_object(info, row)
  return object
end

--- Somebody else's.
---@param info table  the kernel's word
---@param whole boolean  with the kernel section
function program_object.foreign(info, whole)
  local object = {
    id = info.id, name = info.name ~= "" and info.name or null, type = info.type, managed = false,
    loaded_at = time.text(info.loaded_at_ns),
  }
  if whole then object.kernel = kernel_object(info) end
  return object
end

return program_object
