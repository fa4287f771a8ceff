-- The audit: one line for each decision, in the daemon's log, whatever its level: who asked for
-- what, and what became of it. docs/access.md has the fields.

local log = require "bpfd.log"

local audit = {}

local LONGEST <const> = 256 -- bytes of a value: some are a client's own words, of any size

-- What changes nothing and tells nothing that `list` would not: only at the level "debug", unless
-- it is denied.
local is_read <const> = {
  ["program.list"] = true, ["program.get"] = true, ["chain.list"] = true, ["chain.get"] = true,
  ["map.list"] = true, ["image.list"] = true, ["image.inspect"] = true, ["policy.list"] = true,
  ["policy.events"] = true, ["declaration.export"] = true, ["system.status"] = true,
  ["system.features"] = true,
}

-- What of a request's parameters says what it is about. Nothing else is written: there are secrets
-- among them.
local subject_keys <const> = { "id", "program_id", "name", "image_url", "path", "mode",
  "map_owner_id", "persist", "dry_run", "prune", "repair" }
local attach_keys <const> = { "type", "iface", "netns", "direction", "priority", "tracepoint",
  "fn_name", "target" }

-- Printable ASCII only, so that nobody's words can look like another line or another field.
local function quoted(value)
  local text = tostring(value)
  if #text > LONGEST then text = text:sub(1, LONGEST) .. "..." end
  if text:find "^[%w_./:@*+,-]+$" then return text end
  text = text:gsub('[\\"]', "\\%0"):gsub("[^\x20-\x7e]", function(byte)
    return byte == "\n" and "\\n" or ("\\x%02x"):format(byte:byte())
  end)
  return '"' .. text .. '"'
end

---@param fields { [1]: string, [2]: any }[]  those whose value is nil or a table are left out
local function line_of(fields)
  local words = {}
  for _, field in ipairs(fields) do
    local value <const> = field[2]
    if value ~= nil and type(value) ~= "table" then
      words[#words + 1] = field[1] .. "=" .. quoted(value)
    end
  end
  return table.concat(words, " ")
end

-- The name that the process has given itself: a hint, asked for once.
local function process_name(peer)
  if peer.process == nil then
    local file <close> = io.open(("/proc/%d/comm"):format(peer.pid))
    peer.process = file and file:read "l" or false
  end
  return peer.process or nil
end

local function add_peer(fields, peer, listener)
  table.insert(fields, { "uid", peer.uid })
  table.insert(fields, { "gid", peer.gid })
  table.insert(fields, { "pid", peer.pid })
  table.insert(fields, { "process", process_name(peer) })
  table.insert(fields, { "socket", listener.path })
end

local function add_subject(fields, params)
  for _, key in ipairs(subject_keys) do table.insert(fields, { key, params[key] }) end
  local attach <const> = type(params.attach) == "table" and params.attach or {}
  for _, key in ipairs(attach_keys) do table.insert(fields, { key, attach[key] }) end
  local programs <const> = params.programs
  if type(programs) == "table" then table.insert(fields, { "programs", #programs }) end
end

-- Policies that have amended what was asked for, each once.
local function amended_by(result)
  local names, seen = {}, {}
  for _, change in ipairs(type(result.amended) == "table" and result.amended or {}) do
    if not seen[change.hook] then names[#names + 1] = change.hook end
    seen[change.hook] = true
  end
  return #names > 0 and table.concat(names, ",") or nil
end

local function add_result(fields, result, params)
  if type(result) ~= "table" then return end
  if result.id ~= params.id then table.insert(fields, { "program", result.id }) end
  table.insert(fields, { "digest", result.digest })
  table.insert(fields, { "amended_by", amended_by(result) })
  if type(result.changes) == "table" then table.insert(fields, { "changes", #result.changes }) end
end

local function add_error(fields, err, denied_by)
  table.insert(fields, { "denied_by", denied_by })
  table.insert(fields, { "code", err.code })
  table.insert(fields, { "message", err.message })
end

local function write(level, fields) log[level]("%s", line_of(fields)) end

local function write_request(level, request, listener, outcome)
  local result <const> = outcome.result
  local fields = { { "method", request.method },
    { "result", result ~= nil and "done" or outcome.denied_by and "denied" or "failed" } }
  add_peer(fields, request.peer, listener)
  table.insert(fields, { "allowed_by", outcome.allowed_by })
  add_subject(fields, request.params)
  if result ~= nil then
    add_result(fields, result, request.params)
  else
    add_error(fields, outcome.err, outcome.denied_by)
  end
  write(level, fields)
end

--- How a request that was allowed on its socket has ended.
---@param request { method: string, params: table, peer: table }
---@param listener { path: string }  the socket that it came by
---@param rule string  the listener's pattern that allows it
---@param result any  nil: it has failed, or a policy has denied it
---@param err bpf.error?
function audit.request(request, listener, rule, result, err)
  local hook <const> = result == nil and err.hook or nil
  local level <const> = is_read[request.method] and not hook and "debug" or "audit"
  if not log.is_written(level) then return end
  write_request(level, request, listener, { result = result, err = err, allowed_by = rule,
    denied_by = hook and "policy " .. hook })
end

--- One that its socket does not allow.
---@param request { method: string, params: table, peer: table }
---@param listener { path: string }
---@param err bpf.error
function audit.denial(request, listener, err)
  write_request("audit", request, listener, { err = err, denied_by = "socket" })
end

--- A connection that was refused or ended because of what its other side has done.
---@param peer table
---@param listener table
---@param message string
function audit.connection(peer, listener, message)
  local fields = { { "method", "connection" }, { "result", "denied" } }
  add_peer(fields, peer, listener)
  table.insert(fields, { "message", message })
  write("audit", fields)
end

return audit
