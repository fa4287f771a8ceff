-- What runs, in the form of a declaration: applied where nothing runs, it gives the same chains.

local attach_check = require "bpf.attach"
local bpf = require "bpf"
local error_object = require "bpf.error"
local field = require "bpf.field"
local json = require "bpf.json"
local metadata = require "bpfd.metadata"

local declaration_export = {}

local rank_of_type = {}
for rank, name in ipairs(attach_check.names) do rank_of_type[name] = rank end

local function iface_of(row)
  return row.ifindex and bpf.network.name(row.ifindex) or row.note.attach.iface
end

-- By hook, and on each in running order, whose equals a declaration's order gives back.
local function sort_key(row)
  local attach <const> = row.note.attach
  return { rank_of_type[row.type], iface_of(row) or "", attach.netns or "", attach.direction or "",
    row.position or attach.priority or 0, row.type == "tcx" and -row.id or row.id }
end

local function before(a, b)
  for i, value in ipairs(a.key) do
    if value ~= b.key[i] then return value < b.key[i] end
  end
  return false
end

local function is_default(description, value)
  local default <const> = field.default(description)
  if type(value) ~= "table" then return value == default end
  return type(default) == "table" and table.concat(value, " ") == table.concat(default, " ")
end

local function attach_of(row)
  local note <const> = row.note
  local attach = { type = row.type }
  for _, description in ipairs(attach_check.types[row.type]) do
    local name <const> = description.name
    local value <const> = note.attach[name]
    if value ~= nil and not is_default(description, value) then attach[name] = value end
  end
  if attach.iface then attach.iface = note.pattern or iface_of(row) end
  return attach
end

local function entry_of(row)
  local note <const> = row.note
  return {
    name = note.name, path = not note.image_url and note.path or nil, image_url = note.image_url,
    pull_policy = note.image_url and note.pull_policy or nil,
    global = next(note.global or {}) and json.object(note.global) or nil,
    metadata = next(note.metadata or {}) and json.object(note.metadata) or nil,
    persist = note.persist == true or nil, attach = attach_of(row),
  }
end

local function unused(label, taken)
  local candidate, number = label, 1
  while taken[candidate] do
    number = number + 1
    candidate = ("%s-%d"):format(label, number)
  end
  taken[candidate] = true
  return candidate
end

-- Programs that one entry of a declaration has put on several interfaces are one entry again.
local function group_key(row)
  local note <const> = row.note
  if not note.label or not note.pattern then return row end
  return table.concat({ note.declared_by, note.label, note.pattern }, "\0")
end

-- Declared programs keep their labels, if two declarations do not have the same; others get one.
local function label_all(rows)
  local label_of, taken, of_group = {}, {}, {}
  for _, declared in ipairs { true, false } do
    for _, row in ipairs(rows) do
      local note <const>, group <const> = row.note, group_key(row)
      if (note.label ~= nil) == declared then
        local iface <const> = iface_of(row)
        local made_up <const> = note.name .. (iface and "-" .. iface or "")
        of_group[group] = of_group[group] or unused(note.label or made_up, taken)
        label_of[row.id] = of_group[group]
      end
    end
  end
  return label_of
end

-- Where the owner of shared maps is not among them, the first that shares them is the owner.
local function owner_label(row, label_of, heirs)
  local owner <const>, label <const> = row.map_owner_id, label_of[row.id]
  if not owner then return nil end
  if label_of[owner] then return label_of[owner] end
  heirs[owner] = heirs[owner] or label
  return heirs[owner] ~= label and heirs[owner] or nil
end

local function choose_rows(daemon, params, matches)
  local rows = {}
  for _, row in ipairs(daemon.store:declared(params.declared_by)) do
    if not matches or matches(row.note.metadata or {}) then
      row.key = sort_key(row)
      table.insert(rows, row)
    end
  end
  table.sort(rows, before)
  return rows
end

--- The programs of a declaration of what runs.
---@param daemon table
---@param params { declared_by: string?, metadata: table?, selector: string? }  which; else all
---@return { programs: table[] }? exported, bpf.error? err
function declaration_export.run(daemon, params)
  local matches, err = metadata.filter(params)
  if err then return nil, err end
  if params.declared_by ~= nil and type(params.declared_by) ~= "string" then
    return nil, error_object.new { code = "EINVAL", message = "declared_by must be a text" }
  end
  local rows <const> = choose_rows(daemon, params, matches)
  local label_of <const>, heirs, seen, entries = label_all(rows), {}, {}, {}
  for _, row in ipairs(rows) do
    local label <const> = label_of[row.id]
    if not seen[label] then
      seen[label] = true
      local entry = entry_of(row)
      entry.label, entry.map_owner = label, owner_label(row, label_of, heirs)
      table.insert(entries, entry)
    end
  end
  return { programs = entries }
end

return declaration_export
