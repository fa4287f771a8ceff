-- The index over what runs, in SQLite. The kernel is the truth: all of this can be made anew from
-- the pins.

local core = require "bpf.core"
local error_object = require "bpf.error"
local json = require "bpf.json"

local VERSION <const> = 3
local BUSY <const> = 500 -- milliseconds that the loop may stand still for somebody who reads along

local schema <const> = [[
DROP TABLE IF EXISTS programs;
CREATE TABLE programs (
  id INTEGER PRIMARY KEY,       -- the kernel's
  boot_id TEXT NOT NULL,
  type TEXT NOT NULL,           -- the word it was loaded with
  hook TEXT,                    -- of members of chains
  position INTEGER,
  map_owner_id INTEGER,
  iface TEXT,
  ifindex INTEGER,              -- of the daemon's own network namespace
  persist INTEGER NOT NULL,
  declared_by TEXT,             -- name of the declaration
  note TEXT NOT NULL,           -- JSON: everything else, as in the member record
  object TEXT NOT NULL,         -- JSON: the object in lists, as far as it never changes
  attach TEXT NOT NULL          -- JSON: its attach, likewise
) STRICT;
CREATE INDEX programs_by_hook ON programs (hook, position);
CREATE INDEX programs_by_owner ON programs (map_owner_id);
CREATE TABLE IF NOT EXISTS persistent (       -- loaded with persist before the last boot
  old_id INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  note TEXT NOT NULL,
  UNIQUE (old_id, boot_id)
) STRICT;
CREATE INDEX programs_by_declaration ON programs (declared_by);
CREATE TABLE IF NOT EXISTS declarations (
  name TEXT PRIMARY KEY,
  boot_id TEXT NOT NULL,
  declaration TEXT NOT NULL     -- JSON: programs, whose they are, interfaces that were seen
) STRICT;
DROP TABLE IF EXISTS chains;
CREATE TABLE chains (
  hook TEXT PRIMARY KEY,
  boot_id TEXT NOT NULL,
  manifest TEXT NOT NULL        -- JSON, as in the manifest map, with what was found out since
) STRICT;
]]

local store = {}
store.__index = store

local function read_version(database)
  local statement <close>, err = database:prepare "PRAGMA user_version"
  if not statement then return nil, err end
  local row
  row, err = statement:row()
  if not row then return nil, err end
  return row.user_version
end

local function set_up(database)
  local version, err = read_version(database)
  if not version then return nil, err end
  if version == VERSION then return true end
  if version > VERSION then
    return nil, error_object.new { code = "EPROTO",
      message = ("it is of version %d, which a newer bpfd has written"):format(version) }
  end
  return database:execute("BEGIN IMMEDIATE;" .. schema ..
    ("PRAGMA user_version = %d; COMMIT;"):format(VERSION))
end

--- Opens or creates the database.
---@param path string
---@param boot_id string
---@return table? store, bpf.error? err
function store.open(path, boot_id)
  local database, err = core.database.open(path, BUSY)
  if not database then return nil, err end
  local good
  good, err = set_up(database)
  if not good then
    database:close()
    return nil, err:because("opening " .. path)
  end
  return setmetatable({ database = database, statements = {}, boot_id = boot_id }, store)
end

local function statement(self, sql)
  local known = self.statements[sql]
  if known then return known end
  local made = assert(self.database:prepare(sql))
  self.statements[sql] = made
  return made
end

--- Runs body() in a transaction: all of its changes or, if it raises or returns nil, none.
---@return any result, bpf.error? err
function store:change(body)
  local began, err = self.database:execute "BEGIN IMMEDIATE"
  if not began then return nil, err end
  local good, result, failure = pcall(body)
  if good and result ~= nil then
    local done
    done, err = self.database:execute "COMMIT"
    if done then return result end
    failure = err
  end
  self.database:execute "ROLLBACK"
  if not good and not error_object.is(result) then error(result, 0) end
  return nil, not good and result or failure
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

--- Rows by id, one at a time, without the notes: no list of all of them is ever held.
function store:programs()
  return statement(self, [[SELECT id, type, hook, position, map_owner_id, iface, ifindex,
      object, attach FROM programs ORDER BY id]]):rows()
end

--- Ids of the programs that are members of the hook's chain, in running order.
---@return integer[]
function store:members(hook)
  local ids = {}
  for row in statement(self, "SELECT id FROM programs WHERE hook = ? ORDER BY position"):rows(hook)
  do ids[#ids + 1] = row.id end
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
      SELECT json_extract(note, '$.image_digest') AS digest, NULL FROM persistent
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
function store:declaration(name)
  local row = statement(self, "SELECT declaration FROM declarations WHERE name = ?"):row(name)
  return row and json.decode(row.declaration)
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
  return assert(statement(self, [[INSERT OR REPLACE INTO programs
      (id, boot_id, type, hook, map_owner_id, iface, ifindex, persist, declared_by, note, object,
        attach) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]])
    :run(id, self.boot_id, note.type, hook, note.map_owner_id, note.attach.iface,
      not note.attach.netns and note.attach.ifindex or nil,
      note.persist == true, note.declared_by, json.encode(note), shown.object, shown.attach))
end

function store:remove_program(id)
  return assert(statement(self, "DELETE FROM programs WHERE id = ?"):run(id))
end

--- Writes a hook's chain and the positions of its members; nil takes the chain away.
---@param hook string
---@param manifest table?
function store:put_chain(hook, manifest)
  assert(statement(self, "UPDATE programs SET position = NULL WHERE hook = ?"):run(hook))
  if not manifest then
    return assert(statement(self, "DELETE FROM chains WHERE hook = ?"):run(hook))
  end
  -- what could not be asked this time is as it was
  local before = self:chain(hook)
  manifest.xdp_mode = manifest.xdp_mode or before and before.xdp_mode
  -- of a shared chain that somebody has taken off its interface nobody has a position
  local runs <const> = manifest.head or not manifest.shared
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

--- Forgets what ran before the last boot, but for what is to come back. Returns how many programs
--- there were.
---@return integer
function store:forget_other_boots()
  assert(statement(self, "DELETE FROM chains WHERE boot_id <> ?"):run(self.boot_id))
  assert(statement(self, "DELETE FROM declarations WHERE boot_id <> ?"):run(self.boot_id))
  assert(statement(self, [[INSERT OR IGNORE INTO persistent (old_id, boot_id, note)
    SELECT id, boot_id, note FROM programs WHERE boot_id <> ? AND persist]]):run(self.boot_id))
  return assert(statement(self, "DELETE FROM programs WHERE boot_id <> ?"):run(self.boot_id))
end

function store:close()
  for _, one in pairs(self.statements) do one:close() end
  self.database:close()
end

return store
