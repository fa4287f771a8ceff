-- Loads again what was persisted: everything that can be, as few changes as possible; what cannot
-- be waits, and is told with the reason.

local addition = require "bpfd.addition"
local attach_check = require "bpf.attach"
local bpf = require "bpf"
local change = require "bpfd.change"
local program_difference = require "bpfd.program_difference"
local declared_images = require "bpfd.declared_images"
local files = require "bpfd.files"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local own_request = require "bpfd.own_request"
local persisted = require "bpfd.persisted"

local restoring = {}
restoring.__index = restoring

---@param daemon table
function restoring.new(daemon)
  return setmetatable({ daemon = daemon, problems = {} }, restoring)
end

-- Checked as a request's would be; numbers of interfaces and names of hooks were of another time.
local function attach_of(note)
  local asked <const>, attach = program_difference.as_asked(note), { type = note.type }
  for _, description in ipairs(attach_check.types[note.type] or {}) do
    if description.kind ~= "descriptor" then
      attach[description.name] = asked.attach[description.name]
    end
  end
  return attach_check.check(attach)
end

-- What it is waiting for, in words; nil when it can be loaded.
local function what_is_missing(self, row)
  local attach <const> = row.note.attach
  if attach.iface and not attach.netns and not bpf.network.index(attach.iface) then
    return attach.iface
  end
  if not row.owner then return nil end
  local _, number, label = persisted.find_owner(self.daemon.store, row.owner, function(name)
    return self.daemon.boot.files:is_expected(name)
  end)
  if label then return ('program "%s", whose maps it shares'):format(label) end
  return number and self.absent[number]
    and ("persisted program %d, whose maps it shares"):format(number) or nil
end

local function open_image(daemon, note)
  if not note.image_url then return nil end
  return declared_images.resolved(daemon, note)
end

-- A new addition for each try: policies may have amended the last one's.
local function make_addition(self, row)
  local daemon <const>, note <const> = self.daemon, row.note
  local attach, err = attach_of(note)
  if not attach then return nil, err end
  local request <const>, target, netns = own_request.new "program.load", nil, nil
  local image
  image, err = open_image(daemon, note)
  if not err then target, err = files.target(request, attach) end
  if not err then netns, err = files.netns(request, attach) end
  if err then return nil, err end
  local new
  new, err = addition.make(daemon, {
    name = note.name, attach = attach, global = note.global or {}, persist = true,
    metadata = program_difference.as_asked(note).metadata, persisted = row.number, peer = note.peer,
  }, {
    source = not image and daemon.objects:path(note.digest) or nil, image = image,
    path = note.path or note.image_url, target = target, netns = netns,
  })
  if not new then return nil, err end
  new.digest, new.rank = note.digest, row.position or 0
  return new
end

-- Owners before those that share their maps; where the owner is gone for good, the first of those
-- takes its place.
local function share_maps(self, rows, additions)
  local store <const>, of_number, heirs = self.daemon.store, {}, {}
  for at, row in ipairs(rows) do of_number[row.number] = additions[at] end
  for at, row in ipairs(rows) do
    local new <const> = additions[at]
    if row.owner then
      local id, number = persisted.find_owner(store, row.owner)
      new.note.map_owner_id, new.owner = id, of_number[number] or heirs[row.owner]
      if not id and not new.owner then
        heirs[row.owner], new.takes_place_of = new, row.owner
      end
    end
  end
  local order, sharing = {}, {}
  for _, new in ipairs(additions) do table.insert(new.owner and sharing or order, new) end
  return table.move(sharing, 1, #sharing, #order + 1, order)
end

local function close(additions)
  for _, new in ipairs(additions) do
    for _, descriptor in ipairs { new.target or false, new.netns or false } do
      if descriptor then descriptor:close() end
    end
  end
end

local function keys_of(additions)
  local keys = {}
  for _, new in ipairs(additions) do
    local more <const> = change.keys(new.note.attach, new.note.map_owner_id)
    table.move(more, 1, #more, #keys + 1, keys)
  end
  return keys
end

local function write_down(self, rows, additions)
  return function()
    for at, row in ipairs(rows) do
      persisted.is_loaded(self.daemon.store, row, additions[at].takes_place_of)
    end
  end
end

-- Somebody may have given one up meanwhile.
local function all_wait(self, rows)
  for _, row in ipairs(rows) do
    if not persisted.waits(self.daemon.store, row.number) then return false end
  end
  return true
end

local function change_with(self, rows, additions)
  local add <const> = share_maps(self, rows, additions)
  local held <close> = lock.hold(keys_of(additions)) -- luacheck: ignore held
  if not all_wait(self, rows) then return nil end
  local request <const> = own_request.new("program.load", rows[1].note.peer)
  local outcome, err = change.run(self.daemon, request,
    { add = add, also = write_down(self, rows, additions) })
  if not outcome then return nil, err end
  for _, one in ipairs(outcome.added) do
    log.info("program %d: %s, persisted as %d, is loaded again", one.id, one.note.name,
      one.note.persisted)
  end
  return true
end

-- All of these at once, or none.
local function load(self, rows)
  local additions, good, err = {}, nil, nil
  for at, row in ipairs(rows) do
    additions[at], err = make_addition(self, row)
    if not additions[at] then break end
  end
  if not err then good, err = change_with(self, rows, additions) end
  close(additions)
  return good, err
end

-- What is on one hook is loaded by one change, and what shares maps with it by the same. Policies
-- are asked in the name of one user.
local function group_key(row)
  local attach <const>, peer <const> = row.note.attach, row.note.peer or {}
  return table.concat({ row.note.type, attach.netns or "", attach.iface or "",
    attach.direction or "", peer.uid or "" }, "\0")
end

local function groups_of(self, rows)
  local group_of, by_key, groups = {}, {}, {}
  local function merge(into, from)
    if not from or into == from then return end
    for _, row in ipairs(from) do
      table.insert(into, row)
      group_of[row.number] = into
    end
    for key, group in pairs(by_key) do
      if group == from then by_key[key] = into end
    end
    from.merged = true
  end
  for _, row in ipairs(rows) do
    local key <const> = group_key(row)
    local group = by_key[key]
    if not group then
      group = {}
      by_key[key] = group
      table.insert(groups, group)
    end
    table.insert(group, row)
    group_of[row.number] = group
  end
  local heirs = {}
  for _, row in ipairs(rows) do
    if row.owner then
      local id, number = persisted.find_owner(self.daemon.store, row.owner)
      if number then merge(group_of[row.number], group_of[number]) end
      if not id and not number then
        if heirs[row.owner] then merge(group_of[heirs[row.owner]], group_of[row.number]) end
        heirs[row.owner] = row.number
      end
    end
  end
  local left = {}
  for _, group in ipairs(groups) do
    if not group.merged then left[#left + 1] = group end
  end
  return left
end

-- Among equal priorities the newer runs first: so the last in its chain is loaded first.
local function one_by_one(rows)
  local order <const> = table.move(rows, 1, #rows, 1, {})
  table.sort(order, function(a, b)
    if (a.owner == nil) ~= (b.owner == nil) then return a.owner == nil end
    if (a.position or -1) ~= (b.position or -1) then
      return (a.position or -1) > (b.position or -1)
    end
    return a.number < b.number
  end)
  return order
end

local function report(self, row, err)
  if not err then return end
  local message <const> = tostring(err)
  if self.problems[row.number] ~= message then
    log.error("%s, persisted as %d, cannot be loaded again: %s", row.note.name, row.number, message)
  end
  self.problems[row.number] = message
  self.absent[row.number] = true
end

local function load_group(self, rows)
  if load(self, rows) then return end
  for _, known in ipairs(one_by_one(rows)) do
    -- whose owner has just been loaded is told so by its own row
    local row <const> = persisted.row(self.daemon.store, known.number)
    if row and not what_is_missing(self, row) then
      local good, err = load(self, { row })
      if not good then report(self, row, err) end
    end
  end
end

local function sorted(rows)
  table.sort(rows, function(a, b) return a.number < b.number end)
  return rows
end

--- Loads what can be loaded now; in a task.
---@param options { only_waiting: boolean? }?  only_waiting: what has failed is not tried again
---@return boolean all  whether nothing has failed; what waits for something has not
function restoring:run(options)
  local held <close> = lock.hold { "persisted" } -- luacheck: ignore held
  local store <const> = self.daemon.store
  local rows <const>, ready = persisted.waiting(store), {}
  self.absent = {}
  local count
  repeat -- who shares the maps of one that waits, waits too
    count = #ready
    ready = {}
    for _, row in ipairs(rows) do
      local missing <const> = what_is_missing(self, row)
      local skipped <const> = options and options.only_waiting and self.problems[row.number]
      self.absent[row.number] = (missing or skipped) and true or nil
      if not self.absent[row.number] then table.insert(ready, row) end
    end
  until #ready == count
  local failed_before <const> = self.problems
  self.problems = {}
  for _, row in ipairs(rows) do self.problems[row.number] = failed_before[row.number] end
  for _, group in ipairs(groups_of(self, ready)) do load_group(self, sorted(group)) end
  for number in pairs(self.problems) do
    if not persisted.waits(store, number) then self.problems[number] = nil end
  end
  return next(self.problems) == nil
end

--- What is to be told of those that wait.
---@return { number: integer, note: table, waiting_for: string?, problem: string? }[]
function restoring:state()
  local list = {}
  self.absent = self.absent or {}
  for at, row in ipairs(persisted.waiting(self.daemon.store)) do
    local missing <const> = what_is_missing(self, row)
    list[at] = { number = row.number, note = row.note, waiting_for = missing,
      problem = not missing and self.problems[row.number] or nil }
  end
  return list
end

return restoring
