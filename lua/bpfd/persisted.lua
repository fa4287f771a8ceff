-- Programs that were loaded with persist, one by one: what is kept of them when they are gone with
-- a boot, with their interface or behind our back, until they are loaded again (bpfd.restoring).

local error_object = require "bpf.error"
local json = require "bpf.json"

local persisted = {}

local MOST <const> = 4096

---@class bpfd.persisted_row
---@field number integer   its own, which no reboot changes
---@field old_id integer   that it had in the boot `boot_id`
---@field boot_id string
---@field position integer?
---@field owner string?    whose maps it shares, see `owner_of`
---@field note table

local function refusal(code, message, advice)
  return nil, error_object.new { code = code, message = message, advice = advice }
end

--- Whether a program comes back by itself; those of declarations come back with these.
function persisted.is_own(note)
  return note.persist == true and note.declared_by == nil
end

--- Whether it could come back: what is named must mean the same after a reboot.
---@param attach table
---@return true? ok, bpf.error? err
function persisted.check(attach)
  for _, key in ipairs { "pid", "container_pid" } do
    if attach[key] ~= nil then
      return refusal("EINVAL", ("persist and %s exclude each other: after a reboot the number "
        .. "means another process"):format(key))
    end
  end
  for _, key in ipairs { "netns", "target" } do
    local path <const> = attach[key]
    if path and (path:find "^%a+:%[" or path:find " %(deleted%)$") then
      return refusal("EINVAL", ("%s %s has no path by which it could be found after a reboot")
        :format(key, path), "load it without persist")
    end
  end
  return true
end

--- A number for one that is loaded for the first time.
---@return integer? number, bpf.error? err
function persisted.new_number(daemon)
  local row <const> = daemon.store:statement [[
    SELECT count(*) AS many, coalesce(max(number), 0) AS last FROM (
      SELECT json_extract(note, '$.persisted') AS number FROM programs
        WHERE persist AND declared_by IS NULL
      UNION ALL SELECT number FROM persisted)]]:row()
  if row.many >= MOST then
    return refusal("E2BIG", ("%d programs are persisted already"):format(row.many),
      "bpfctl status shows them; an unload ends it")
  end
  daemon.last_persisted = math.max(daemon.last_persisted or 0, row.last) + 1
  return daemon.last_persisted
end

-- The owner of shared maps as it is known after a reboot. `id:ID:BOOT` is a program of that boot,
-- `number:NUMBER` a persisted one, `declared:JSON` one of a declaration.
local function owner_of(store, row)
  local id <const> = row.map_owner_id
  if not id then return nil end
  local owner <const> = store:program(id)
  if owner and owner.note.declared_by and owner.note.label then
    return "declared:" .. json.encode { declared_by = owner.note.declared_by,
      label = owner.note.label, iface = owner.note.attach.iface }
  end
  return ("id:%d:%s"):format(id, row.boot_id)
end

local function number_of(store, note)
  local known <const> = note.persisted
  if known then return known end
  return store:statement "SELECT coalesce(max(number), 0) + 1 AS next FROM persisted":row().next
end

--- Of these programs, which do not run any more, keeps what is to come back; inside `index.write`,
--- and before their rows go.
---@param store table
---@param rows table[]  of the store, notes decoded
function persisted.keep(store, rows)
  for _, row in ipairs(rows) do
    if persisted.is_own(row.note) then
      store:make_durable()
      assert(store:statement [[INSERT OR REPLACE INTO persisted
        (number, old_id, boot_id, position, owner, note) VALUES (?, ?, ?, ?, ?, ?)]]
        :run(number_of(store, row.note), row.id, row.boot_id, row.position, owner_of(store, row),
          json.encode(row.note)))
    end
  end
end

local function persisted_entries(programs)
  local kept, has = {}, {}
  for _, entry in ipairs(programs) do
    if entry.persist then
      has[entry.label] = true
      kept[#kept + 1] = entry
    end
  end
  -- where the owner of maps does not come back, the first that shares them takes its place
  local heirs = {}
  for _, entry in ipairs(kept) do
    local owner <const> = entry.map_owner
    if owner and not has[owner] then
      entry.map_owner = heirs[owner]
      heirs[owner] = heirs[owner] or entry.label
    end
  end
  return kept
end

--- Of the declarations of other boots, what is persisted stays and is awaited; inside a transaction
--- of the store. Those of programs.d are read there again.
---@param store table
function persisted.keep_declarations(store)
  for _, name in ipairs(store:declarations()) do
    local declared, is_old = store:declaration(name)
    if declared and is_old then
      local kept <const> = declared.file and {} or persisted_entries(declared.programs)
      store:put_declaration(name, #kept > 0 and { programs = kept, seen = json.object {},
        peer = declared.peer, awaited = true } or nil)
    end
  end
end

--- Those that wait, by number.
---@return bpfd.persisted_row[]
function persisted.waiting(store)
  local rows = {}
  for row in store:statement "SELECT * FROM persisted ORDER BY number":rows() do
    row.note = json.decode(row.note)
    rows[#rows + 1] = row
  end
  return rows
end

--- One that waits.
---@return bpfd.persisted_row?
function persisted.row(store, number)
  local row <const> = store:statement "SELECT * FROM persisted WHERE number = ?":row(number)
  if row then row.note = json.decode(row.note) end
  return row
end

--- Whether one still waits.
function persisted.waits(store, number) return persisted.row(store, number) ~= nil end

--- Those that run.
---@return { number: integer?, id: integer, type: string, map_owner_id: integer? }[]
function persisted.running(store)
  local rows = {}
  for row in store:statement [[SELECT id, type, map_owner_id,
      json_extract(note, '$.persisted') AS number FROM programs
      WHERE persist AND declared_by IS NULL ORDER BY number]]:rows() do
    rows[#rows + 1] = row
  end
  return rows
end

local function id_of_number(store, number)
  local row <const> = store:statement [[SELECT id FROM programs
    WHERE persist AND json_extract(note, '$.persisted') = ?]]:row(number)
  return row and row.id
end

-- One on the same interface or, where the owner is on no interface, any.
local function id_of_declared(store, owner)
  for _, row in ipairs(store:declared(owner.declared_by)) do
    local note <const> = row.note
    if note.label == owner.label and note.attach.iface == owner.iface then return row.id end
  end
  return nil
end

--- Where the maps are that a program is to share. All nil: with nobody any more, and it gets maps
--- of its own.
---@param store table
---@param owner string
---@param is_expected (fun(declaration: string): boolean)?  whether one may yet be applied
---@return integer? id       of the program that has them
---@return integer? number   of the persisted program that is to be loaded first
---@return string? label     of the declared program, likewise
function persisted.find_owner(store, owner, is_expected)
  local id, boot = owner:match "^id:(%d+):(.*)$"
  if id then
    id = math.tointeger(tonumber(id))
    if boot == store.boot_id and #store:map_users(id) > 0 then return id end
    local row <const> = store:statement
      "SELECT number FROM persisted WHERE old_id = ? AND boot_id = ?":row(id, boot)
    return nil, row and row.number
  end
  local number <const> = math.tointeger(tonumber(owner:match "^number:(%d+)$"))
  if number then
    id = id_of_number(store, number)
    return id, not id and persisted.waits(store, number) and number or nil
  end
  local declared <const> = json.decode(owner:match "^declared:(.*)$")
  id = id_of_declared(store, declared)
  if id then return id end
  if is_expected and is_expected(declared.declared_by) then return nil, nil, declared.label end
  for _, entry in ipairs((store:declaration(declared.declared_by) or { programs = {} }).programs) do
    if entry.label == declared.label then return nil, nil, declared.label end
  end
  return nil
end

--- One that waited runs again; inside `index.write`. Who shared maps with it does so again; where
--- it has taken an owner's place, those that shared with that one share with it.
---@param row bpfd.persisted_row
---@param takes_place_of string?  an owner that is gone
function persisted.is_loaded(store, row, takes_place_of)
  store:make_durable()
  local number <const> = ("number:%d"):format(row.number)
  for _, owner in ipairs { ("id:%d:%s"):format(row.old_id, row.boot_id), takes_place_of } do
    assert(store:statement "UPDATE persisted SET owner = ?1 WHERE owner = ?2":run(number, owner))
  end
  assert(store:statement "DELETE FROM persisted WHERE number = ?":run(row.number))
end

--- Ends what was promised of one that waits; inside `index.write`.
---@return boolean  whether there was one
function persisted.forget(store, number)
  store:make_durable()
  return assert(store:statement "DELETE FROM persisted WHERE number = ?":run(number)) > 0
end

--- Number of the one that had this id in this boot, and waits now.
---@return integer? number
function persisted.number_of_departed(store, id)
  local row <const> = store:statement
    "SELECT number FROM persisted WHERE old_id = ? AND boot_id = ?":row(id, store.boot_id)
  return row and row.number
end

-- It runs, and the owner of its maps does not: who is yet to be loaded of those that share them,
-- the owner included, shares those that are there.
local function share_without_owner(store, row, map_owner_id)
  local id, number, label = persisted.find_owner(store, row.owner)
  if id or label then return end
  local there <const> = ("id:%d:%s"):format(map_owner_id, store.boot_id)
  local function share(where, ...)
    assert(store:statement("UPDATE persisted SET owner = ? WHERE " .. where):run(there, ...))
  end
  share("owner = ?", row.owner)
  local owner <const> = number and persisted.row(store, number)
  if not owner then return end
  share("number = ? AND owner IS NULL", number)
  share("owner = ?", ("number:%d"):format(number))
  share("owner = ?", ("id:%d:%s"):format(owner.old_id, owner.boot_id))
end

--- What a daemon or a job that was killed has loaded again without writing it down; inside
--- `index.write`.
function persisted.drop_loaded(store)
  local running = {}
  for _, row in ipairs(persisted.running(store)) do running[row.number or false] = row end
  for _, waiting in ipairs(persisted.waiting(store)) do
    local runs <const> = running[waiting.number]
    if runs then
      local row <const> = persisted.row(store, waiting.number)
      local shares <const> = row.owner and runs.map_owner_id
      if shares then share_without_owner(store, row, runs.map_owner_id) end
      persisted.is_loaded(store, row, not shares and row.owner or nil)
    end
  end
end

--- Digests of the object files that are needed again.
---@return table<string, boolean>
function persisted.digests(store)
  local digests = {}
  for row in store:statement [[
      SELECT json_extract(note, '$.digest') AS digest FROM programs WHERE persist
      UNION SELECT json_extract(note, '$.digest') FROM persisted]]:rows() do
    if row.digest then digests[row.digest] = true end
  end
  return digests
end

return persisted
