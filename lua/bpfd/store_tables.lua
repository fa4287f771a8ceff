-- The tables of the index. What the kernel can be asked for is made anew with each version; what is
-- to outlive a boot stays.

local tables = {}

--- Raised with every change to the tables.
tables.version = 4

tables.sql = [[
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
DROP TABLE IF EXISTS persistent;
CREATE TABLE IF NOT EXISTS persisted (        -- loaded with persist, and to be loaded again
  number INTEGER PRIMARY KEY,   -- of its own, which no reboot changes
  old_id INTEGER NOT NULL,
  boot_id TEXT NOT NULL,        -- of the boot in which it had this id
  position INTEGER,             -- that it had in its chain
  owner TEXT,                   -- whose maps it shares (bpfd.persisted)
  note TEXT NOT NULL
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

--- To be run before, where there is a table `persisted`: a boot may lie between two versions, and
-- then the pins tell nothing of what is to come back.
tables.rescue = [[
INSERT OR IGNORE INTO persisted (number, old_id, boot_id, position, owner, note)
  SELECT json_extract(note, '$.persisted'), id, boot_id, position,
      'id:' || map_owner_id || ':' || boot_id, note
    FROM programs WHERE persist AND declared_by IS NULL;
]]

return tables
