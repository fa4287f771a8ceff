-- Interfaces that come and go: what is declared for one that comes is loaded there, and what was on
-- one that goes is cleaned up at once.

local bpf = require "bpf"
local declaration = require "bpf.declaration"
local chain_state = require "bpfd.chain_state"
local change = require "bpfd.change"
local declarations = require "bpfd.declarations"
local declared_sources = require "bpfd.declared_sources"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local loop = require "bpfd.loop"
local own_request = require "bpfd.own_request"
local persisted = require "bpfd.persisted"
local place = require "bpfd.place"

local following = {}
following.__index = following

-- Whether nothing of a program runs on its interface, because that is gone: what somebody has
-- detached there is another matter.
local function is_dead(daemon, row)
  local attach <const> = row.note.attach
  if not daemon.interfaces.known[row.ifindex] then return true end
  -- a new one may have its number and its name; what cannot be told is not taken for that
  if place.is_same_interface(row.note.interface_id, row.ifindex) ~= false then return false end
  if row.hook then
    local hook = place.hook(attach, daemon.config:interface(attach.iface))
    local state <const> = chain_state.read(daemon.directories, row.hook, hook)
    local link <const> = state.link or state.severed_link
    if link then link:close() end -- this is no job, which would end with it
    return state.live == nil
  end
  local link <close>, err = bpf.link.open_pin(daemon.directories:program(row.id) .. "/link")
  if not link then return err.code == "ENOENT" end
  local info = link:info()
  return info ~= nil and info.severed == true
end

-- The same for many programs, with one look at each chain.
local function judge(daemon)
  local chains = {}
  return function(row)
    if not row.hook then return is_dead(daemon, row) end
    if chains[row.hook] == nil then chains[row.hook] = is_dead(daemon, row) end
    return chains[row.hook]
  end
end

local function rows_on(daemon, ifindex)
  local rows = {}
  for i, id in ipairs(daemon.store:on_interface(ifindex)) do rows[i] = daemon.store:program(id) end
  return rows
end

local function drop(self, ifindex, why, leaves)
  local daemon <const> = self.daemon
  local keys = {}
  for _, row in ipairs(rows_on(daemon, ifindex)) do
    local more <const> = change.keys(row.note.attach, row.map_owner_id or row.id)
    table.move(more, 1, #more, #keys + 1, keys)
  end
  if #keys == 0 then return end
  local held <close> = lock.hold(keys) -- luacheck: ignore held
  local members, rows, name = {}, {}, nil
  for _, row in ipairs(rows_on(daemon, ifindex)) do
    if leaves(row) then
      table.insert(members, change.member(daemon, row))
      table.insert(rows, row)
      daemon.departed:add(row.id)
      name = row.note.attach.iface
    end
  end
  if #members == 0 then return end
  local done, err = change.run(daemon, own_request.new "link.removed",
    { drop = members, is_fact = true, before = function() persisted.keep(daemon.store, rows) end })
  if done then
    log.info("%s %s: %d programs went with it", name, why, #members)
  else
    log.error("what was on %s could not be cleaned up: %s", name, tostring(err))
  end
end

local function drop_dead(self, ifindex)
  drop(self, ifindex, "is gone", judge(self.daemon))
end

local function drop_unmatched(self, ifindex, name)
  drop(self, ifindex, "is called " .. name .. " now", function(row)
    return row.note.pattern ~= nil and not declaration.matches(row.note.pattern, name)
  end)
end

-- Of one declaration, for interfaces that have come. What fails for all is tried for each.
local function load_on(self, name, declared, ifaces)
  local only = {}
  for _, iface in ipairs(ifaces) do only[iface] = true end
  local entries, changes, err
  entries, err = declared_sources.reopen(self.daemon, own_request.new "declaration.apply", name,
    declared.programs)
  if entries then
    changes, err = declarations.apply(self.daemon,
      own_request.new("declaration.apply", declared.peer),
      { name = name, programs = entries, only = only })
  end
  declared_sources.close(declared.programs)
  if changes then return end
  if #ifaces == 1 then
    if not bpf.network.index(ifaces[1]) then return end -- gone again meanwhile
    return log.error("%s has come, and not what is declared for it: %s", ifaces[1], tostring(err))
  end
  for _, iface in ipairs(ifaces) do load_on(self, name, declared, { iface }) end
end

local function come(self, name, ifaces)
  local declared <const> = self.daemon.store:declaration(name)
  local wanted = {}
  for _, iface in ipairs(ifaces) do
    if declared and not declared.awaited and declarations.is_wanted_on(declared, iface) then
      table.insert(wanted, iface)
    end
  end
  if #wanted > 0 then load_on(self, name, declared, wanted) end
end

local function take_turn(self)
  local gone <const>, renamed <const>, new <const> = self.gone, self.renamed, self.new
  self.gone, self.renamed, self.new = {}, {}, {}
  for ifindex in pairs(gone) do drop_dead(self, ifindex) end
  for ifindex, name in pairs(renamed) do drop_unmatched(self, ifindex, name) end
  local ifaces = {}
  for ifindex, name in pairs(new) do
    local known <const> = self.daemon.interfaces.known[ifindex]
    if known and known.name == name then table.insert(ifaces, name) end
  end
  table.sort(ifaces)
  for _, name in ipairs(#ifaces > 0 and self.daemon.store:declarations() or {}) do
    come(self, name, ifaces)
  end
  if #ifaces > 0 and self.came then self.came() end
end

-- One task at a time; what comes meanwhile is its next turn.
local function work(self)
  if self.working then return end
  self.working = true
  loop.spawn(function()
    local at_end <close> = setmetatable({}, { -- luacheck: ignore at_end
      __close = function() self.working = false end,
    })
    while next(self.gone) or next(self.renamed) or next(self.new) do take_turn(self) end
  end)
end

local function look_at_all(self)
  for _, ifindex in ipairs(self.daemon.store:interfaces()) do self.gone[ifindex] = true end
end

local on = {}

on["link.added"] = function(self, event) self.new[event.ifindex] = event.iface end

on["link.removed"] = function(self, event)
  self.gone[event.ifindex], self.new[event.ifindex] = true, nil
end

on["link.renamed"] = function(self, event)
  self.renamed[event.ifindex], self.new[event.ifindex] = event.iface, event.iface
end

on["link.missed"] = look_at_all

-- What has come, gone or been put in another's place while no daemon ran.
local function catch_up(self)
  for _, name in ipairs(self.daemon.store:declarations()) do
    local seen <const> = self.daemon.store:declaration(name).seen
    for ifindex, interface in pairs(self.daemon.interfaces.known) do
      if seen[tostring(ifindex)] ~= interface.name then self.new[ifindex] = interface.name end
    end
  end
  local is_gone <const> = judge(self.daemon)
  for _, ifindex in ipairs(self.daemon.store:interfaces()) do
    local known <const> = self.daemon.interfaces.known[ifindex]
    for _, row in ipairs(rows_on(self.daemon, ifindex)) do
      if is_gone(row) then
        self.gone[ifindex], self.new[ifindex] = true, known and known.name or nil
        break
      end
    end
  end
end

--- Begins, when the index agrees with the kernel.
---@param daemon table
---@param came fun()?  called when interfaces have come and have what is declared for them
function following.start(daemon, came)
  local self = setmetatable({
    daemon = daemon, came = came, gone = {}, renamed = {}, new = {},
  }, following)
  daemon.interfaces:subscribe(function(event)
    if not on[event.on] then return end
    on[event.on](self, event)
    work(self)
  end)
  catch_up(self)
  work(self)
  return self
end

return following
