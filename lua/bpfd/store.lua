-- The index over what runs, in SQLite. The kernel is the truth: all of this can be made anew from
-- the pins.

local json = require "bpf.json"
local database = require "bpfd.database"

local store = setmetatable({}, { __index = database })
store.__index = store

local statement <const> = database.statement

--- Opens or creates it.
---@param path string
---@param boot_id string
---@return table? store, bpf.error? err
function store.open(path, boot_id)
  local self, err = database.open(path)
  if not self then return nil, err end
  self.boot_id, self.shown = boot_id, {}
  return setmetatable(self, store)
end

--- Goes on with the database of another store, which is closed.
function store:take(other)
  self.shown = {}
  return database.take(self, other)
end

--- Runs body() in a transaction: all of its changes or, if it raises or returns nil, none.
---@return any result, bpf.error? err
function store:change(body)
  local result, err = database.change(self, body)
  if result == nil then self.shown = {} end
  return result, err
end

local function program_of(row)
  if not row then return nil end
  local note = json.decode(row.note)
  row.note = note
  return row
end

--- One program's row, its note decoded; nil if there is none.
---@param id integer
---@return { id: integer, type: string, hook: string?, position: integer?, note: table }?
function store:program(id)
  return program_of(statement(self, "SELECT * FROM programs WHERE id = ?"):row(id))
end

--- Rows by id, one at a time, of what never changes but by `put_program`.
function store:programs()
  return statement(self, "SELECT id, type, iface, ifindex FROM programs ORDER BY id"):rows()
end

--- What a list is to show of a program that has a row; `shown[id]` is the caller's to keep what it
--- made of that, and nil once anything of it has changed.
---@return { hook: string?, position: integer?, object: string, attach: string }
function store:parts_to_show(id)
  return statement(self, "SELECT hook, position, object, attach FROM programs WHERE id = ?"):row(id)
end

--- What tells a program's pins from those of others: rows by id, with parts of the note.
---@return table<integer, { hook: string?, name: string?, iface: string?, ifindex: integer?,
---  interface_id: integer?, maps: string? }>
function store:known_programs()
  local known = {}
  for row in statement(self, [[SELECT id, hook, iface, ifindex,
      json_extract(note, '$.name') AS name, json_extract(note, '$.maps') AS maps,
      json_extract(note, '$.interface_id') AS interface_id FROM programs]]):rows() do
    known[row.id] = row
  end
  return known
end

--- Ids of the programs that are members of the hook's chain, in running order.
---@return integer[]
function store:members(hook)
  local ids = {}
  for row in statement(self, "SELECT id FROM programs WHERE hook = ? ORDER BY position"):rows(hook)
  do ids[#ids + 1] = row.id end
  return ids
end

--- Ids of the programs that are in the hook's chain, or belong there.
---@return integer[]
function store:on_hook(hook)
  local ids = {}
  for row in statement(self, "SELECT id FROM programs WHERE hook = ? ORDER BY id"):rows(hook) do
    ids[#ids + 1] = row.id
  end
  return ids
end

--- Ids of the programs that use the maps of this one, itself included while it is loaded.
---@return integer[]
function store:map_users(owner_id)
  local ids = {}
  for row in statement(self, [[SELECT id FROM programs
      WHERE map_owner_id = ?1 OR (id = ?1 AND map_owner_id IS NULL) ORDER BY id]]):rows(owner_id)
  do ids[#ids + 1] = row.id end
  return ids
end

--- For every program that came out of an image, loaded or to come back after this boot: the image's
--- digest, and the id where it is loaded.
---@return fun(): string?, integer?
function store:image_users()
  local next_row, state, start, closing = statement(self, [[
      SELECT json_extract(note, '$.image_digest') AS digest, id FROM programs
        WHERE digest IS NOT NULL
      UNION ALL
      SELECT json_extract(note, '$.image_digest') AS digest, NULL FROM persisted
        WHERE digest IS NOT NULL
      ORDER BY id]]):rows()
  return function()
    local row = next_row()
    if row then return row.digest, row.id end
  end, state, start, closing
end

--- Rows of the programs that a declaration owns, their notes decoded; with nil, of all programs.
---@param name string?
---@return table[]
function store:declared(name)
  local rows = {}
  for row in statement(self, [[SELECT * FROM programs
      WHERE ?1 IS NULL OR declared_by = ?1 ORDER BY id]]):rows(name) do
    rows[#rows + 1] = program_of(row)
  end
  return rows
end

--- Ids of the programs on an interface of the daemon's own namespace.
---@return integer[]
function store:on_interface(ifindex)
  local ids = {}
  for row in statement(self, "SELECT id FROM programs WHERE ifindex = ? ORDER BY id"):rows(ifindex)
  do ids[#ids + 1] = row.id end
  return ids
end

--- Numbers of the interfaces that programs are on.
---@return integer[]
function store:interfaces()
  local found = {}
  for row in statement(self, [[SELECT DISTINCT ifindex FROM programs
      WHERE ifindex IS NOT NULL ORDER BY ifindex]]):rows() do found[#found + 1] = row.ifindex end
  return found
end

--- Keeps a declaration, or forgets it.
---@param name string
---@param declaration table?
function store:put_declaration(name, declaration)
  if not declaration then
    return assert(statement(self, "DELETE FROM declarations WHERE name = ?"):run(name))
  end
  return assert(statement(self,
    "INSERT OR REPLACE INTO declarations (name, boot_id, declaration) VALUES (?, ?, ?)")
    :run(name, self.boot_id, json.encode(declaration)))
end

---@return table? declaration
---@return boolean? of_another_boot
function store:declaration(name)
  local row = statement(self, "SELECT boot_id, declaration FROM declarations WHERE name = ?")
    :row(name)
  if not row then return nil end
  return json.decode(row.declaration), row.boot_id ~= self.boot_id
end

---@return string[]
function store:declarations()
  local names = {}
  for row in statement(self, "SELECT name FROM declarations ORDER BY name"):rows() do
    names[#names + 1] = row.name
  end
  return names
end

---@return integer
function store:count(table_name)
  return statement(self, "SELECT count(*) AS n FROM " .. table_name):row().n
end

---@param id integer
---@param note table  type, map_owner_id, persist and everything that a record keeps
---@param hook string?
---@param shown { object: string, attach: string }  what of it is shown and never changes, as JSON
function store:put_program(id, note, hook, shown)
  if note.persist then self:make_durable() end
  self.shown[id] = nil
  return assert(statement(self, [[INSERT OR REPLACE INTO programs
      (id, boot_id, type, hook, map_owner_id, iface, ifindex, persist, declared_by, note, object,
        attach) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]])
    :run(id, self.boot_id, note.type, hook, note.map_owner_id, note.attach.iface,
      not note.attach.netns and note.attach.ifindex or nil,
      note.persist == true, note.declared_by, json.encode(note), shown.object, shown.attach))
end

function store:remove_program(id)
  local row <const> = statement(self, "SELECT persist FROM programs WHERE id = ?"):row(id)
  if row and row.persist == 1 then self:make_durable() end
  self.shown[id] = nil
  return assert(statement(self, "DELETE FROM programs WHERE id = ?"):run(id))
end

--- Writes a hook's chain and the positions of its members; nil takes the chain away.
---@param hook string
---@param manifest table?
function store:put_chain(hook, manifest)
  for _, id in ipairs(self:on_hook(hook)) do self.shown[id] = nil end
  assert(statement(self, "UPDATE programs SET position = NULL WHERE hook = ?"):run(hook))
  if not manifest then
    return assert(statement(self, "DELETE FROM chains WHERE hook = ?"):run(hook))
  end
  -- what could not be asked this time is as it was
  local before = self:chain(hook)
  manifest.xdp_mode = manifest.xdp_mode or before and before.xdp_mode
  -- of a chain that somebody has taken off its interface nobody has a position
  local runs <const> = manifest.head or not manifest.shared and not manifest.stopped
  for place, member in ipairs(runs and manifest.members or {}) do
    assert(statement(self, "UPDATE programs SET position = ? WHERE id = ? AND hook = ?")
      :run(place - 1, member.id, hook))
  end
  return assert(statement(self,
    "INSERT OR REPLACE INTO chains (hook, boot_id, manifest) VALUES (?, ?, ?)")
    :run(hook, self.boot_id, json.encode(manifest)))
end

---@return table? manifest
function store:chain(hook)
  local row = statement(self, "SELECT manifest FROM chains WHERE hook = ?"):row(hook)
  return row and json.decode(row.manifest)
end

--- For every chain: its hook's name and its manifest.
function store:chains()
  local next_row, state, start, closing =
    statement(self, "SELECT hook, manifest FROM chains ORDER BY hook"):rows()
  return function()
    local row = next_row()
    if row then return row.hook, json.decode(row.manifest) end
  end, state, start, closing
end

--- Rows of the programs of other boots, their notes decoded.
---@return table[]
function store:of_other_boots()
  local rows = {}
  for row in statement(self, "SELECT * FROM programs WHERE boot_id <> ? ORDER BY id")
      :rows(self.boot_id) do rows[#rows + 1] = program_of(row) end
  return rows
end

--- Forgets what ran before the last boot. Returns how many programs there were.
---@return integer
function store:forget_other_boots()
  self.shown = {}
  assert(statement(self, "DELETE FROM chains WHERE boot_id <> ?"):run(self.boot_id))
  return assert(statement(self, "DELETE FROM programs WHERE boot_id <> ?"):run(self.boot_id))
end

return store
