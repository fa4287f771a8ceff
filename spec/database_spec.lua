local core = require "bpf.core"
local database_file = require "bpfd.database_file"
local error_object = require "bpf.error"
local store = require "bpfd.store"

local database = require "bpfd_database"
core.database = database -- where bpfd has it

describe("a database", function()
  local path, db

  before_each(function()
    path = os.tmpname()
    db = assert(database.open(path))
  end)

  after_each(function()
    db:close()
    for _, suffix in ipairs { "", "-wal", "-shm" } do os.remove(path .. suffix) end
  end)

  local function one(sql, ...)
    local statement <close> = assert(db:prepare(sql))
    return statement:row(...)
  end

  it("keeps all 64 bits of an integer", function()
    for _, value in ipairs { 0, 1, -1, 1 << 53 | 1, math.maxinteger, math.mininteger } do
      local back = one("SELECT ? AS v", value).v
      assert.equal("integer", math.type(back))
      assert.equal(value, back)
    end
  end)

  it("binds texts with zeros, blobs, floats, booleans and nothing", function()
    assert.equal("a\0b", one("SELECT ? AS v", "a\0b").v)
    assert.equal("text", one("SELECT typeof(?) AS v", "a").v)
    assert.equal("blob", one("SELECT typeof(?) AS v", database.blob "a").v)
    assert.equal("\0\255", one("SELECT ? AS v", database.blob "\0\255").v)
    assert.equal(1.5, one("SELECT ? AS v", 1.5).v)
    assert.equal(1, one("SELECT ? AS v", true).v)
    assert.is_nil(one("SELECT ? AS v", nil).v)
  end)

  it("wants as many values as the statement has", function()
    local statement <close> = assert(db:prepare "SELECT ?, ?")
    assert.has_error(function() statement:row(1) end)
  end)

  it("gives rows one by one, also when a loop is left early", function()
    assert(db:execute "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)")
    local statement <close> = assert(db:prepare "SELECT a FROM t ORDER BY a")
    for row in statement:rows() do
      assert.is_true(row.a < 3)
      if row.a == 2 then break end
    end
    local seen = {}
    for row in statement:rows() do seen[#seen + 1] = row.a end
    assert.same({ 1, 2, 3 }, seen)
    assert(db:execute "DROP TABLE t") -- no loop holds it
  end)

  it("answers with error objects", function()
    local statement, err = db:prepare "SELECT nothing FROM nowhere"
    assert.is_nil(statement)
    assert.is_true(error_object.is(err))
    assert.equal("EINVAL", err.code)
    local opened
    opened, err = database.open "/nonexistent/x.db"
    assert.is_nil(opened)
    assert.equal("ENOENT", err.code)
  end)

  it("says which value is there already", function()
    assert(db:execute "CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)")
    local statement <close> = assert(db:prepare "INSERT INTO t VALUES (?)")
    local done, err = statement:run(1)
    assert.is_nil(done)
    assert.equal("EEXIST", err.code)
    assert.equal(1, statement:run(2))
  end)

  it("does not outlive its closing", function()
    local statement = assert(db:prepare "SELECT 1 AS v")
    db:close()
    db:close()
    assert.has_error(function() db:execute "SELECT 1" end)
    assert.equal(1, statement:row().v) -- SQLite keeps it for the statement
    statement:close()
    statement:close()
    assert.has_error(function() statement:row() end)
  end)
end)

describe("the store", function()
  local path, opened

  before_each(function()
    path = os.tmpname()
    opened = assert(store.open(path, "boot-1"))
  end)

  after_each(function()
    opened:close()
    for _, suffix in ipairs { "", "-wal", "-shm" } do os.remove(path .. suffix) end
  end)

  local function put(id, fields, hook)
    local note = { name = "pass", type = "xdp", attach = { type = "xdp" } }
    for key, value in pairs(fields or {}) do note[key] = value end
    opened:put_program(id, note, hook, { object = "{}", attach = "{}" })
  end

  it("gives back what it was given", function()
    put(7, { metadata = { owner = "acme" }, loaded_at = 1 << 60 }, "xdp-1-2")
    local row = opened:program(7)
    assert.equal("xdp", row.type)
    assert.equal("xdp-1-2", row.hook)
    assert.equal(1 << 60, row.note.loaded_at)
    assert.equal("acme", row.note.metadata.owner)
    assert.is_nil(opened:program(8))
  end)

  it("keeps the order of a chain's members", function()
    for id = 1, 3 do put(id, nil, "xdp-1-2") end
    local members = { { id = 3 }, { id = 1 }, { id = 2 } }
    opened:put_chain("xdp-1-2", { engine = "fuse", members = members })
    assert.same({ 3, 1, 2 }, opened:members "xdp-1-2")
    assert.equal(0, opened:program(3).position)
    assert.equal("fuse", opened:chain("xdp-1-2").engine)
    opened:put_chain("xdp-1-2", nil)
    assert.is_nil(opened:program(3).position)
    assert.is_nil(opened:chain "xdp-1-2")
  end)

  it("knows who uses whose maps, also when the owner is gone", function()
    put(1)
    put(2, { map_owner_id = 1 })
    assert.same({ 1, 2 }, opened:map_users(1))
    opened:remove_program(1)
    assert.same({ 2 }, opened:map_users(1))
    assert.same({}, opened:map_users(2))
  end)

  it("takes a change back when it fails in its midst", function()
    local done, err = opened:change(function()
      put(1)
      return nil, error_object.new { message = "no" }
    end)
    assert.is_nil(done)
    assert.equal("no", err.message)
    assert.has_error(function()
      opened:change(function()
        put(1)
        error "a fault"
      end)
    end)
    assert.is_nil(opened:program(1))
    assert.is_true(opened:change(function()
      put(1)
      return true
    end))
    assert.truthy(opened:program(1))
  end)

  it("gives an error that the database has as an answer, and not as a fault", function()
    local other <close> = assert(database.open(path, 0))
    assert(other:execute "BEGIN IMMEDIATE")
    assert(opened.database:execute "PRAGMA busy_timeout = 0")
    local done, err = opened:change(function() return put(1) or true end)
    assert.is_nil(done)
    assert.equal("EBUSY", err.code)
  end)

  local persisted = require "bpfd.persisted"

  local function reboot()
    opened:close()
    opened = assert(store.open(path, "boot-2"))
    return assert(opened:change(function()
      persisted.keep(opened, opened:of_other_boots())
      return opened:forget_other_boots()
    end))
  end

  local function numbers()
    local list = {}
    for i, row in ipairs(persisted.waiting(opened)) do list[i] = row.number end
    return list
  end

  it("forgets what ran before a boot, and sets aside what is to come back", function()
    put(1)
    put(2, { persist = true, persisted = 5 })
    put(3, { persist = true, declared_by = "web.lua", label = "web" })
    assert.equal(3, reboot())
    assert.equal(0, opened:count "programs")
    assert.same({ 5 }, numbers())
    assert.equal("boot-1", persisted.waiting(opened)[1].boot_id)
  end)

  it("knows the owner of maps that were shared before a boot by its number", function()
    put(1, { persist = true, persisted = 7 })
    put(2, { persist = true, persisted = 8, map_owner_id = 1 })
    reboot()
    local owner <const>, sharer <const> = table.unpack(persisted.waiting(opened))
    assert.same({ nil, 7 }, { persisted.find_owner(opened, sharer.owner) })
    put(11, { persist = true, persisted = 7 })
    assert.truthy(opened:change(function() return persisted.is_loaded(opened, owner) or true end))
    assert.same({ 11 }, { persisted.find_owner(opened, persisted.waiting(opened)[1].owner) })
  end)

  it("does not wait for what runs, where a daemon was killed before it was written", function()
    put(1, { persist = true, persisted = 1 })
    put(2, { persist = true, persisted = 2, map_owner_id = 1 })
    reboot()
    put(11, { persist = true, persisted = 1 })
    assert(opened:change(function() return persisted.drop_loaded(opened) or true end))
    assert.same({ 2 }, numbers())
    assert.equal(11, (persisted.find_owner(opened, persisted.waiting(opened)[1].owner)))
  end)

  it("loses nothing that is persisted where a boot lies between two versions", function()
    put(1)
    put(2, { persist = true, persisted = 3, map_owner_id = 1 })
    put(4, { persist = true, persisted = 9 })
    assert(opened.database:execute "PRAGMA user_version = 3")
    opened:close()
    opened = assert(store.open(path, "boot-2"))
    assert.equal(0, opened:count "programs")
    assert.same({ 3, 9 }, numbers())
    assert.equal("id:1:boot-1", persisted.waiting(opened)[1].owner)
  end)

  it("refuses a database of a newer bpfd", function()
    assert(opened.database:execute "PRAGMA user_version = 99")
    local again, err = store.open(path, "boot-1")
    assert.is_nil(again)
    assert.matches("version 99", tostring(err))
  end)

  it("says so when the file is no database", function()
    local broken = os.tmpname()
    local file <close> = assert(io.open(broken, "w"))
    file:write(("this is not SQLite "):rep(100))
    file:flush()
    local again, err = store.open(broken, "boot-1")
    assert.is_nil(again)
    assert.equal("EBADMSG", err.code)
    os.remove(broken)
  end)
end)

describe("the file of the index", function()
  local directory, path
  local open <const> = database.open

  before_each(function()
    directory = os.tmpname()
    assert(os.remove(directory))
    assert(core.system.make_directory(directory, tonumber("700", 8)))
    path = directory .. "/bpfd.db"
    store.open(path, "boot-1"):close()
  end)

  after_each(function()
    database.open = open
    for _, name in ipairs(core.system.list(directory)) do os.remove(directory .. "/" .. name) end
    os.remove(directory)
  end)

  -- The next so many checks find what they do where a page cannot be read.
  local function fail_checks(count)
    function database.open(...)
      local real <const> = assert(open(...))
      local function prepare(_, sql)
        if not sql:find "quick_check" or count == 0 then return real:prepare(sql) end
        count = count - 1
        return setmetatable({ row = function()
          return { quick_check = "Tree 4 page 4: unable to get the page. error code=266" }
        end }, { __close = function() end })
      end
      return setmetatable({ prepare = prepare, execute = function(_, ...)
        return real:execute(...)
      end, close = function() real:close() end }, { __close = function() real:close() end })
    end
  end

  it("is not taken for damaged where a read failed once", function()
    fail_checks(1)
    local opened, _, finding = database_file.open(path, "boot-1")
    opened:close()
    assert.is_nil(finding)
  end)

  it("is set aside where it is found damaged again", function()
    fail_checks(2)
    local opened, _, finding = database_file.open(path, "boot-1")
    opened:close()
    assert.equal("database.damaged", finding.code)
  end)
end)
