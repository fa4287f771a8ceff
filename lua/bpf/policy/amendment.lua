-- What a hook may change of a request: priority, proceed-on, metadata; by the checks of requests.

local attach_check = require "bpf.attach"
local field = require "bpf.field"
local nearest = require "bpf.nearest"

local amendment = {}

local of_attach <const> = { "priority", "proceed_on" }
local of_request <const> = { "attach", "metadata" }

---@class bpf.policy.change
---@field field string  "attach.priority", "attach.proceed_on", "metadata.KEY"
---@field from any
---@field to any

local MOST_CHANGES <const>, LONGEST_TEXT <const> = 64, 1024

local function unknown(key, keys, where)
  return ("no hook can amend %s%s; did you mean %s?"):format(where, tostring(key),
    nearest(tostring(key), keys))
end

local function is_same(left, right)
  if type(left) ~= "table" or type(right) ~= "table" then return left == right end
  for key, value in pairs(left) do
    if right[key] ~= value then return false end
  end
  return #left == #right
end

local function description_of(kind, name)
  for _, description in ipairs(attach_check.types[kind] or {}) do
    if description.name == name then return description end
  end
  return nil
end

local function amend_attach(changes, attach, wanted)
  if type(wanted) ~= "table" then return "attach is amended by a table" end
  for key, value in pairs(wanted) do
    if not field.is_one_of(key, of_attach) then return unknown(key, of_attach, "attach.") end
    local description <const> = description_of(attach.type, key)
    if not description then
      return ("%s has no %s to amend"):format(attach.type or "what is not attached", key)
    end
    local good, why = field.read(description, value)
    if why then return ("the amended %s %s"):format(key, why) end
    if not is_same(attach[key], good) then
      table.insert(changes, { field = "attach." .. key, from = attach[key], to = good })
    end
  end
  return nil
end

local function amend_metadata(changes, metadata, wanted)
  if type(wanted) ~= "table" then return "metadata is amended by a table of texts" end
  for key, value in pairs(wanted) do
    if type(key) ~= "string" or key == "" or type(value) ~= "string" then
      return "metadata is amended by a table of texts"
    end
    if #key > LONGEST_TEXT or #value > LONGEST_TEXT then
      return ("an amended text of metadata has more than %d bytes"):format(LONGEST_TEXT)
    end
    if metadata[key] ~= value then
      table.insert(changes, { field = "metadata." .. key, from = metadata[key], to = value })
    end
  end
  return nil
end

--- What an amendment changes; no changes where the request is so already.
---@param event table
---@param wanted table  as given to hooks.amend
---@return bpf.policy.change[]? changes, string? complaint
function amendment.changes(event, wanted)
  local changes, complaint = {}, nil
  for key in pairs(wanted) do
    if not field.is_one_of(key, of_request) then return nil, unknown(key, of_request, "") end
  end
  if wanted.attach ~= nil then
    complaint = amend_attach(changes, event.attach or {}, wanted.attach)
  end
  if not complaint and wanted.metadata ~= nil then
    complaint = amend_metadata(changes, event.metadata or {}, wanted.metadata)
  end
  if complaint then return nil, complaint end
  if #changes > MOST_CHANGES then
    return nil, ("one amendment changes more than %d things"):format(MOST_CHANGES)
  end
  table.sort(changes, function(a, b) return a.field < b.field end)
  return changes
end

--- A change that comes from elsewhere, by the same checks.
---@param request table
---@param change table
---@return bpf.policy.change? change, string? complaint
function amendment.check(request, change)
  local part <const>, key <const> = tostring(change.field):match "^(%w+)%.(.*)$"
  if not part then return nil, "a change of nothing" end
  local changes, complaint = amendment.changes(request, { [part] = { [key] = change.to } })
  if not changes then return nil, complaint end
  return changes[1]
end

--- Makes a change in an event or a request.
---@param request { attach: table?, metadata: table? }
---@param change bpf.policy.change
function amendment.apply(request, change)
  local part <const>, key <const> = change.field:match "^(%w+)%.(.*)$"
  request[part] = request[part] or {}
  request[part][key] = change.to
end

return amendment
