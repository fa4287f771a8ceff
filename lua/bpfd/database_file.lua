-- The file that the index is in: opened at the start, looked at by the doctor, and written anew
-- where it is damaged or gone. What is known from the pins is not worth saving; declarations are,
-- and what is to come back after a boot.

local core = require "bpf.core"
local error_object = require "bpf.error"
local index = require "bpfd.index"
local store = require "bpfd.store"

local database_file = {}

local FILES <const> = { "", "-wal", "-shm" }

-- Every row of a small table, all of its columns; what cannot be read is left out.
local function read_table(database, name, wanted)
  local rows = {}
  pcall(function()
    local statement <close> = assert(database:prepare(("SELECT * FROM %q"):format(name)))
    for row in statement:rows() do
      if wanted(name, row) then rows[#rows + 1] = row end
    end
  end)
  return rows
end

local function read_tables(database, wanted)
  local names <const>, tables = {}, {}
  pcall(function()
    local statement <close> = assert(database:prepare
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    for row in statement:rows() do names[#names + 1] = row.name end
  end)
  for _, name in ipairs(names) do tables[name] = read_table(database, name, wanted) end
  return tables
end

-- What the pins do not make anew: they tell nothing of programs of another boot.
local function is_not_of_pins(boot_id)
  return function(name, row)
    if name == "programs" then return row.persist == 1 and row.boot_id ~= boot_id end
    return name ~= "chains"
  end
end

local function write_row(database, name, row)
  local columns, places, values = {}, {}, {}
  for column, value in pairs(row) do
    table.insert(columns, ("%q"):format(column))
    table.insert(places, "?")
    table.insert(values, value)
  end
  local statement <close> = assert(database:prepare(("INSERT OR IGNORE INTO %q (%s) VALUES (%s)")
    :format(name, table.concat(columns, ", "), table.concat(places, ", "))))
  return assert(statement:run(table.unpack(values)))
end

local function write_tables(opened, tables)
  return opened:change(function()
    for name, rows in pairs(tables) do
      for _, row in ipairs(rows) do write_row(opened.database, name, row) end
    end
    return true
  end)
end

-- By a connection that has none of its pages in its cache.
local function check_once(path)
  local database <close>, failure = core.database.open(path)
  if not database then return nil, failure end
  local statement <close>, err = database:prepare "PRAGMA quick_check(1)"
  local row
  if statement then row, err = statement:row() end
  if row and row.quick_check == "ok" then return true end
  if err and err.code ~= "EBADMSG" then return nil, err end
  return nil, error_object.new { code = "EBADMSG",
    message = err and err.message
      or "the database is damaged: " .. row.quick_check:gsub("%s+", " ") }
end

-- Whether its pages and trees are whole. A page that could not be read is told of as a damaged one:
-- what is read well the second time is not set aside.
local function check(path)
  local good, err = check_once(path)
  if not good and err.code == "EBADMSG" then good, err = check_once(path) end
  return good, err
end

local function move(path, to)
  for _, suffix in ipairs(FILES) do
    local good, err = core.system.rename(path .. suffix, to .. suffix)
    if not good and err.code ~= "ENOENT" then return nil, err end
  end
  return true
end

-- A new file with what could be read of the old one, which is set aside.
local function renew(path, boot_id, tables)
  local aside <const> = ("%s.broken-%d"):format(path, core.system.clock() // 1000000000)
  local good, err = move(path, aside)
  if not good then return nil, err end
  local opened
  opened, err = store.open(path, boot_id)
  if opened then good, err = write_tables(opened, tables) end
  if opened and good then return opened, aside end
  if opened then opened:close() end
  for _, suffix in ipairs(FILES) do core.system.remove(path .. suffix) end
  move(aside, path)
  return nil, err
end

local function damaged(path, err)
  return { code = "database.damaged", subject = path, text = tostring(err),
    repair = "set it aside, and write a new one from what is pinned" }
end

--- Opens the index; where its file is no database any more, a new one.
---@param path string
---@param boot_id string
---@return table? store
---@return bpf.error? err
---@return bpfd.finding? finding  of what was wrong with it
function database_file.open(path, boot_id)
  local opened, err = store.open(path, boot_id)
  local good = opened
  if opened then good, err = check(path) end
  if good then return opened end
  local tables = {}
  if opened then
    tables = read_tables(opened.database, is_not_of_pins(boot_id))
    opened:close()
  end
  if err.code ~= "EBADMSG" then return nil, err end
  local finding <const> = damaged(path, err)
  local aside
  opened, aside = renew(path, boot_id, tables)
  if not opened then return nil, aside end
  finding.repair, finding.state = "set aside as " .. aside, "repaired"
  return opened, nil, finding
end

local function is_open_file(opened, path)
  local facts <const> = core.system.facts(path)
  return facts ~= nil and facts.inode == opened.file.inode and facts.device == opened.file.device
end

-- In the place of the store that all parts of the daemon have.
local function mend(daemon, wanted)
  local path <const>, now <const> = daemon.directories.database, daemon.store
  local opened, err = renew(path, now.boot_id, read_tables(now.database, wanted))
  if not opened then return nil, err end
  now:take(opened)
  return true
end

local advice_of <const> = {
  ENOSPC = "make room on its disk", EROFS = "make its file system writable",
  EACCES = "give it back to root, with mode 0600", EBUSY = "somebody holds it open and locked",
}

-- Whether something can be written, by writing what is there.
local function try_to_write(daemon)
  local database <const> = daemon.store.database
  local statement <close>, err = database:prepare "PRAGMA user_version"
  if not statement then return nil, err end
  local version <const> = statement:row().user_version
  statement:close()
  return daemon.store:change(function()
    return database:execute(("PRAGMA user_version = %d"):format(version))
  end)
end

local function look_at_writing(daemon, told)
  local path <const> = daemon.directories.database
  local good, err = try_to_write(daemon)
  if not good then
    return told:add { code = "database.unwritable", subject = path,
      text = ("%s; loads are refused, and what ends is written down later%s"):format(
        err.message, advice_of[err.code] and ": " .. advice_of[err.code] or "") }
  end
  if #daemon.unwritten == 0 then return nil end
  told:add({ code = "database.behind", subject = path,
    text = ("%d changes are not written down yet"):format(#daemon.unwritten),
    repair = "write them down" }, function() return index.write(daemon, function() end) end)
end

--- Looks at the file of a daemon that runs.
---@param daemon table
---@param told bpfd.findings
---@return boolean is_readable
function database_file.look(daemon, told)
  local path <const> = daemon.directories.database
  if not is_open_file(daemon.store, path) then
    told:add({ code = "database.gone", subject = path,
      text = "somebody has removed the file, or put another in its place",
      repair = "write it anew, and set the other aside" },
      function() return mend(daemon, function() return true end) end)
  else
    local good, err = check(path)
    if not good then
      local found <const> = damaged(path, err)
      told:add(found, function()
        return mend(daemon, is_not_of_pins(daemon.store.boot_id))
      end)
      if found.state ~= "repaired" then return false end
    end
  end
  look_at_writing(daemon, told)
  return true
end

return database_file
