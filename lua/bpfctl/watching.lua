-- What `map watch` shows, one after the other: each as JSON and as a person's text.

local layout = require "bpf.layout"
local maps = require "bpfctl.maps"
local sleep = require "bpf.sleep"

local watching = {}

local function snapshot(typed)
  local entries, order = {}, {}
  for key, value in typed.map:pairs() do
    if entries[key] == nil then order[#order + 1] = key end
    entries[key] = value
  end
  return entries, order
end

local function is_same(left, right)
  if type(left) == "string" or type(right) == "string" then return left == right end
  for cpu, bytes in ipairs(left) do
    if right[cpu] ~= bytes then return false end
  end
  return true
end

local signs <const> = { present = " ", added = "+", changed = "~", deleted = "-" }

local function new_teller(typed)
  local json <const> = maps.json_entry(typed)
  local _, value_json <const> = typed:drawings "json"
  local key_of <const>, value_of <const> = typed:drawings "literal"
  return function(change, key, value, before)
    local text = ("%s %s: %s"):format(signs[change], key_of(key, 0), value_of(value, 0))
    local object = ('{"change":"%s",%s'):format(change, json(key, value):sub(2))
    if before then
      text = text .. ("  (was %s)"):format(value_of(before, 0))
      object = object:sub(1, -2) .. ',"before":' .. value_json(before, 0) .. "}"
    end
    return { json = object, text = text }
  end
end

local function compare(before, after, order, tell)
  for _, key in ipairs(order) do
    local old <const>, new <const> = before[key], after[key]
    if old == nil then
      tell("added", key, new)
    elseif not is_same(old, new) then
      tell("changed", key, new, old)
    end
  end
  for key, value in pairs(before) do
    if after[key] == nil then tell("deleted", key, value) end
  end
end

--- The entries that are there, then what changes, as seen every so many seconds.
---@param typed bpf.typed_map
---@param interval number
---@param most integer?  changes
---@return fun(): table?
function watching.changes(typed, interval, most)
  local left = most or math.huge
  local teller <const> = new_teller(typed)
  local function tell(...)
    if left <= 0 then return end
    left = left - 1
    coroutine.yield(teller(...))
  end
  return coroutine.wrap(function()
    local before, order = snapshot(typed)
    for _, key in ipairs(order) do coroutine.yield(teller("present", key, before[key])) end
    while left > 0 do
      sleep(interval)
      local after
      after, order = snapshot(typed)
      compare(before, after, order, tell)
      before = after
    end
  end)
end

local function record_drawings(map, wanted)
  local form, err
  if wanted then
    local types
    if not wanted:find(":", 1, true) then
      types, err = map:btf()
      if not types then return nil, err end
    end
    form, err = require("bpf.ring").layout(wanted, types)
    if not form then return nil, err end
  end
  return function(style)
    if form then return layout.drawing(form, style), form.size end
    local function draw_bytes(bytes)
      return layout.drawing(layout.format("hex", #bytes), style)(bytes, 0)
    end
    return draw_bytes, 0
  end
end

local function new_record_teller(drawings)
  local json <const>, size <const> = drawings "json"
  local literal <const> = drawings "literal"
  return function(bytes, cpu)
    if #bytes < size then
      error(require("bpf.error").new { code = "EINVAL",
        message = ("a record has %d bytes, and its type has %d"):format(#bytes, size) })
    end
    local on <const> = cpu and ('"cpu":%d,'):format(cpu) or ""
    return {
      json = ('{%s"record":%s}'):format(on, json(bytes, 0)),
      text = (cpu and ("[%03d] "):format(cpu) or "") .. literal(bytes, 0),
    }
  end
end

local function lost_between(before, now)
  return { json = ('{"lost":%d}'):format(now - before), text = ("! %d lost"):format(now - before) }
end

--- Records as they come.
---@param map bpf.map
---@param wanted string?  their type
---@param most integer?
---@return (fun(): table?)?
---@return bpf.error? err
function watching.records(map, wanted, most)
  local drawings, err = record_drawings(map, wanted)
  if not drawings then return nil, err end
  local opened
  opened, err = map:ring()
  if not opened then return nil, err end
  local tell <const> = new_record_teller(drawings)
  return coroutine.wrap(function()
    local left, lost = most or math.huge, 0
    for bytes, cpu in opened:events() do
      if opened:lost() > lost then
        coroutine.yield(lost_between(lost, opened:lost()))
        lost = opened:lost()
      end
      coroutine.yield(tell(bytes, cpu))
      left = left - 1
      if left <= 0 then break end
    end
    opened:close()
  end)
end

return watching
