-- The database of the index: opened in this version's form, its statements prepared once, its
-- transactions whole and, where it matters, on the disk.

local core = require "bpf.core"
local error_object = require "bpf.error"
local log = require "bpfd.log"
local tables = require "bpfd.store_tables"

local BUSY <const> = 500 -- milliseconds that the loop may stand still for somebody who reads along

local database = {}
database.__index = database

local function ask(handle, sql)
  local statement <close>, err = handle:prepare(sql)
  if not statement then return nil, err end
  local row
  row, err = statement:row()
  if not row then return nil, err end
  return row.answer
end

local function set_up(handle)
  local version, err = ask(handle, "SELECT user_version AS answer FROM pragma_user_version")
  if not version then return nil, err end
  if version == tables.version then return true end
  if version > tables.version then
    return nil, error_object.new { code = "EPROTO",
      message = ("it is of version %d, which a newer bpfd has written"):format(version),
      advice = "start that one, or move the file away: what runs is known from what is pinned, \z
        but what was declared or is to come back after a boot is only in there" }
  end
  local has
  has, err = ask(handle,
    "SELECT count(*) AS answer FROM sqlite_master WHERE name = 'persisted'")
  if not has then return nil, err end
  return handle:execute("BEGIN IMMEDIATE;" .. (has > 0 and tables.rescue or "") .. tables.sql ..
    ("PRAGMA user_version = %d; COMMIT;"):format(tables.version))
end

--- Opens or creates it.
---@param path string
---@return table? database, bpf.error? err
function database.open(path)
  local handle, err = core.database.open(path, BUSY)
  if not handle then return nil, err end
  local good
  good, err = set_up(handle)
  if not good then
    handle:close()
    return nil, err:because("opening " .. path)
  end
  return setmetatable({ database = handle, statements = {}, file = core.system.facts(path) },
    database)
end

local function close_statements(self)
  for _, one in pairs(self.statements) do one:close() end
  self.statements = {}
end

--- Goes on with the database of another one, which is closed.
function database:take(other)
  close_statements(self)
  close_statements(other)
  self.database:close()
  self.database, self.file = other.database, other.file
end

local function statement(self, sql)
  local known = self.statements[sql]
  if known then return known end
  local made = assert(self.database:prepare(sql))
  self.statements[sql] = made
  return made
end

--- A statement of another module's, prepared once.
---@param sql string
database.statement = statement

--- What is written in this transaction is on the disk before `change` returns: a power cut does not
--- undo it.
function database:make_durable() self.is_durable = true end

-- The log of the last transactions is synchronized before it goes into the database, and only then.
local function synchronize(self)
  if not self.is_durable then return end
  self.is_durable = false
  local done, err = self.database:execute "PRAGMA wal_checkpoint(PASSIVE)"
  if not done then log.warning("a power cut may undo the last change: %s", tostring(err)) end
end

--- Runs body() in a transaction: all of its changes or, if it raises or returns nil, none.
---@return any result, bpf.error? err
function database:change(body)
  local began, err = self.database:execute "BEGIN IMMEDIATE"
  if not began then return nil, err end
  local good, result, failure = pcall(body)
  if good and result ~= nil then
    local done
    done, err = self.database:execute "COMMIT"
    if done then
      synchronize(self)
      return result
    end
    failure = err
  end
  self.database:execute "ROLLBACK"
  self.is_durable = false
  if not good and not error_object.is(result) then error(result, 0) end
  return nil, not good and result or failure
end

function database:close()
  close_statements(self)
  self.database:close()
end

return database
