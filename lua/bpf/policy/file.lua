-- One policy file in a Lua state of its own: what it adds, and what its hooks say to an event.

local sandbox = require("bpf.core").sandbox
local events = require "bpf.policy.events"
local failure = require "bpf.policy.failure"
local inside = require "bpf.policy.inside"
local nearest = require "bpf.nearest"

---@class bpf.policy.hook
---@field name string
---@field on string[]
---@field before string[]
---@field after string[]
---@field file string
---@field line integer    of its function run
---@field place integer   among those of its file

---@class bpf.policy.file
---@field path string
---@field hooks bpf.policy.hook[]
local file = {}
file.__index = file

local MOST <const> = 0x7fffffff -- instructions that a count hook counts

local keys <const> = { "name", "on", "before", "after", "run" }

local function is_one_of(value, list)
  for _, one in ipairs(list) do
    if one == value then return true end
  end
  return false
end

-- What is wrong with a hook, in words that stand behind its place.
local function complaint_about(hook)
  for _, key in ipairs(hook.keys) do
    if not is_one_of(key, keys) then
      return ("a hook has no %s; did you mean %s?"):format(key, nearest(key, keys))
    end
  end
  if not hook.name:find "^[%w_.-]+/[%w_./-]+$" or #hook.name > 100 then
    return ("the name %q is not of the form site/bands"):format(hook.name)
  end
  if hook.name:find "^core/" then return "names in core/ are bpfd's own" end
  if #hook.on == 0 then return hook.name .. " needs `on`, an event or a list of events" end
  for _, event in ipairs(hook.on) do
    if not events.is_known[event] then
      return ("there is no event %s; did you mean %s?"):format(event, nearest(event, events.names))
    end
  end
  return nil
end

-- Looked for once, while files can still be found. It works in any Lua state.
local lpeg_path <const> = package.searchpath("lpeg", package.cpath)
local open_lpeg <const> = lpeg_path and package.loadlib(lpeg_path, "luaopen_lpeg") or nil

--- Runs a file, which adds its hooks.
---@param source { path: string, text: string }
---@param limits { instructions: integer, memory: integer }  for each call, for each file
---@return bpf.policy.file?, bpf.error? err
function file.open(source, limits)
  local path <const> = source.path
  local box, err = sandbox.new(limits.memory, math.min(limits.instructions, MOST), open_lpeg)
  if not box then return nil, failure.new("memory", err.message, path) end
  local good, hooks, lines = box:run(inside, "=policy", source.text, failure.chunk_name)
  if not good then
    box:close()
    return nil, failure.new(hooks, lines, path)
  end
  for place, hook in ipairs(hooks) do
    hook.file, hook.place, hook.line = path, place, math.max(hook.line, 1)
    local complaint <const> = complaint_about(hook)
    if complaint then
      box:close()
      return nil, failure.new("error", complaint, path, hook.line)
    end
    hook.keys = nil
  end
  return setmetatable({ path = path, box = box, hooks = hooks, lines = lines }, file)
end

--- What a hook says to an event.
---@param hook bpf.policy.hook
---@param event table
---@return { deny: string?, amend: table?, nonsense: string? }|false|nil said  false: nothing
---@return table|bpf.error lines_or_err   { level, text } for the log
function file:call(hook, event)
  local good, said, lines = self.box:call("decide", hook.place, event)
  if good then return said or false, lines end
  return nil, failure.new(said, lines, self.path, hook.line)
end

--- Bytes that it has in use.
---@return integer
function file:memory() return self.box:memory() end

function file:close() self.box:close() end

return file
