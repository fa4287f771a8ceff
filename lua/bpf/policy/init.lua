-- Policies outside the daemon: whether files are whole, and what they would decide.

local system = require("bpf.core").system
local error_object = require "bpf.error"
local events = require "bpf.policy.events"
local frame = require "bpf.frame"
local helper = require "bpf.policy.helper"
local nearest = require "bpf.nearest"
local sources = require "bpf.policy.sources"

local policy = {}

--- What bpfd allows them unless its configuration says otherwise: bytes for each file, and for each
--- call of a hook instructions and seconds.
policy.limits = { instructions = 1000000, memory = 8 << 20, time = 0.05 }

---@class bpf.policy.dry_run
---@field hooks bpf.policy.hook[]  in the order in which they run
local dry_run = {}
dry_run.__index = dry_run

-- The next message of the process; nil and why it has ended.
local function receive(self)
  local message, last
  message, self.received = frame.receive(self.socket, self.received)
  if message and message.ended_in then last, message = message, nil end
  if message then return message end
  self.is_over = true
  return nil, (helper.explain(last, system.wait(self.pid, true) or {}, false, self.places,
    self.limits))
end

local function read_all(paths)
  local list = {}
  for place, path in ipairs(paths) do
    local source, err = sources.file(path)
    if not source then return nil, err end
    list[place] = source
  end
  return list
end

--- Runs policy files, all together, in a process without rights.
---@param paths string[]
---@param limits { instructions: integer, memory: integer, time: number }?
---@return bpf.policy.dry_run?, bpf.error? err
function policy.open(paths, limits)
  local read, err = read_all(paths)
  if not read then return nil, err end
  limits = limits or policy.limits
  local self
  self, err = helper.fork(read, limits)
  if not self then return nil, err end
  self.received, self.limits, self.places = "", limits, {}
  for place, source in ipairs(read) do self.places[place] = { file = source.path } end
  setmetatable(self, dry_run)
  local loaded
  loaded, err = receive(self)
  if loaded and loaded.broken then err = error_object.new(loaded.broken) end
  if err then
    self:close()
    return nil, err
  end
  self.hooks, self.places = loaded.hooks, loaded.hooks
  return self
end

--- Whether something is an event that hooks can be asked about.
---@param event any
---@return true? ok, bpf.error? err
function policy.check_event(event)
  local message
  if type(event) ~= "table" or type(event.on) ~= "string" then
    message = "an event is an object with `on`"
  elseif not events.is_known[event.on] then
    message = ("there is no event %s; did you mean %s?"):format(event.on,
      nearest(event.on, events.names))
  else
    return true
  end
  return nil, error_object.new { code = "EINVAL", message = message,
    advice = "bpfctl -o json policy events shows recorded ones" }
end

--- What the hooks would decide of an event.
---@param event table
---@return bpf.policy.outcome?, bpf.error? err
function dry_run:decide(event)
  local good, err = policy.check_event(event)
  if not good then return nil, err end
  frame.send(self.socket, { event = event })
  return receive(self)
end

function dry_run:close()
  self.socket:close()
  if self.is_over then return end
  self.is_over = true
  system.kill(self.pid, "KILL")
  system.wait(self.pid, true)
end
dry_run.__close = dry_run.close

return policy
