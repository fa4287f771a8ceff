-- The interfaces of the daemon's own namespace, and word of those that come, change and go.

local bpf = require "bpf"
local log = require "bpfd.log"
local loop = require "bpfd.loop"

local AGAIN <const> = 1 -- seconds until what could not be listed or heard is tried again

local interfaces = {}
interfaces.__index = interfaces

---@class bpfd.link_event
---@field on "link.added"|"link.removed"|"link.renamed"|"link.up"|"link.down"|"link.missed"
---  missed: any number of the others may have been lost; what is has been read anew
---@field iface string?    its name; all but of link.missed
---@field ifindex integer?
---@field kind string?     "veth", "bridge" ...
---@field was string?      of link.renamed: the name before

local function event_of(on, interface)
  return { on = on, iface = interface.name, ifindex = interface.index, kind = interface.kind }
end

local function leave(known, index, events)
  local before <const> = known[index]
  if not before then return end
  known[index] = nil
  if before.up then table.insert(events, event_of("link.down", before)) end
  table.insert(events, event_of("link.removed", before))
end

--- One change against what was known, which is brought up to date.
---@param known table<integer, bpf.interface>
---@param change bpf.interface_change
---@return bpfd.link_event[]
function interfaces.events(known, change)
  local events <const>, index <const> = {}, change.index
  if change.gone then
    leave(known, index, events)
    return events
  end
  if known[index] and known[index].kind ~= change.kind then leave(known, index, events) end
  local before <const> = known[index]
  known[index] = change
  if not before then
    table.insert(events, event_of("link.added", change))
  elseif before.name ~= change.name then
    local renamed = event_of("link.renamed", change)
    renamed.was = before.name
    table.insert(events, renamed)
  end
  local was_up <const> = before ~= nil and before.up
  if was_up ~= change.up then
    table.insert(events, event_of(change.up and "link.up" or "link.down", change))
  end
  return events
end

local function tell(self, events)
  for _, event in ipairs(events) do
    log.debug("%s %s", event.on, event.iface or "")
    for _, listener in ipairs(self.listeners) do listener(event) end
  end
end

-- A list of all against what is known.
local function read_all(self)
  local all, err = bpf.network.interfaces()
  if not all then return nil, err end
  local events, present = {}, {}
  for _, interface in ipairs(all) do present[interface.index] = true end
  for index in pairs(self.known) do
    if not present[index] then leave(self.known, index, events) end
  end
  for _, interface in ipairs(all) do
    local more <const> = interfaces.events(self.known, interface)
    table.move(more, 1, #more, #events + 1, events)
  end
  return events
end

local function look_at_all(self)
  local events, err = read_all(self)
  if not events then
    log.error("the interfaces cannot be listed: %s", tostring(err))
    self.again = loop.after(AGAIN, function() look_at_all(self) end)
    return
  end
  tell(self, events)
  tell(self, { { on = "link.missed" } })
end

local function stop_listening(self)
  if not self.descriptor then return end
  self.watch:close()
  self.descriptor:close()
  self.descriptor = nil
end

local listen ---@type fun(self: table): true?, bpf.error?

-- What came meanwhile is found by a look at all.
local function listen_again(self)
  local good, err = loop.try(listen, self)
  if good then return look_at_all(self) end
  log.error("nothing is heard of interfaces: %s", tostring(err))
  self.again = loop.after(AGAIN, function() listen_again(self) end)
end

-- Turns of the loop belong to others too: one message at a time, the rest in the next turn.
local function receive(self)
  local changes, err = bpf.network.changes(self.descriptor)
  if changes then
    for _, change in ipairs(changes) do tell(self, interfaces.events(self.known, change)) end
  elseif err.code == "ENOBUFS" then
    log.warning "there were more changes to interfaces than could be kept; all are looked at"
    look_at_all(self)
  elseif err.code ~= "EAGAIN" then
    log.error("word of interfaces fails, and is listened for anew: %s", tostring(err))
    stop_listening(self)
    self.again = loop.after(AGAIN, function() listen_again(self) end)
  end
end

function listen(self)
  local descriptor, err = bpf.network.watch()
  if not descriptor then return nil, err end
  local watch <const> = loop.watch(descriptor:fd(), function() receive(self) end)
  watch:on "r"
  self.descriptor, self.watch = descriptor, watch
  return true
end

--- Lists the interfaces and listens from then on.
---@return table? interfaces, bpf.error? err
function interfaces.open()
  local self = setmetatable({ known = {}, listeners = {} }, interfaces)
  local good, err = listen(self)
  if not good then return nil, err end
  -- programs of interfaces that are taken for absent would go
  local listed
  listed, err = read_all(self)
  if listed then return self end
  stop_listening(self)
  return nil, err:because "listing the interfaces"
end

--- Calls back for every event, in order, from the loop: work that waits goes into a task.
---@param listener fun(event: bpfd.link_event)
function interfaces:subscribe(listener)
  table.insert(self.listeners, listener)
end

function interfaces:close()
  stop_listening(self)
  if self.again then self.again:close() end
end

return interfaces
