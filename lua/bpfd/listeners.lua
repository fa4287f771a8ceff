-- The sockets that are listened on, and what may be asked on each.

local core = require "bpf.core"
local log = require "bpfd.log"
local loop = require "bpfd.loop"

local listeners = {}

---@class bpfd.listener
---@field path string
---@field allow string[]     patterns of methods, in which * stands for any characters
---@field socket table       bpf.core.socket
---@field is_given boolean   opened by a service manager, whose file it stays
---@field has_group boolean  false: root alone comes in

local function matches(pattern, name)
  local escaped = pattern:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*")
  return name:find("^" .. escaped .. "$") ~= nil
end

--- The pattern that allows a method on a listener; nil where none does.
---@param listener { allow: string[] }
---@param method string
---@return string? pattern
function listeners.rule_for(listener, method)
  for _, pattern in ipairs(listener.allow) do
    if matches(pattern, method) then return pattern end
  end
  return nil
end

local function group_of(listen)
  if not listen.group then return nil end
  local gid, err = core.system.group_id(listen.group)
  if not gid and not listen.group_may_lack then
    log.warning("%s: %s is for root alone", tostring(err), listen.path)
  end
  return gid
end

--- Listens: on the socket that a service manager has opened there, else on one of our own.
---@param listen { path: string, group: string?, mode: integer, allow: string[] }  as configured
---@param given table<string, table>  sockets by path; what is used is taken out
---@param accept fun(listener: bpfd.listener)  called when somebody connects
---@return bpfd.listener? listener, bpf.error? err
function listeners.open(listen, given, accept)
  local socket, err = given[listen.path], nil
  local is_given <const>, group <const> = socket ~= nil, group_of(listen)
  if not socket then
    socket, err = core.socket.listen(listen.path, { mode = listen.mode, group = group })
  end
  if not socket then return nil, err end
  given[listen.path] = nil
  local listener = { socket = socket, path = listen.path, allow = listen.allow,
    is_given = is_given, has_group = group ~= nil }
  listener.watch = loop.watch(socket:fd(), function() accept(listener) end)
  listener.watch:on "r"
  return listener
end

--- Takes no more connections, and takes the socket's file away where it is our own.
---@param listener bpfd.listener
function listeners.close(listener)
  listener.watch:close()
  listener.socket:close()
  if not listener.is_given then core.system.remove(listener.path) end
end

return listeners
