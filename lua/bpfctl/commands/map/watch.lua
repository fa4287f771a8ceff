-- Shows the entries of a map as they change, or the records that programs send through it.

local maps = require "bpfctl.maps"
local map_types = require "bpf.map_types"
local watching = require "bpfctl.watching"

local function check_interval(word)
  local seconds <const> = tonumber(word)
  if seconds and seconds >= 0.01 and seconds <= 86400 then return nil end
  return "must be from 0.01 to 86400 seconds, not " .. word
end

local watch = {
  name = "watch",
  summary = "Show what changes in a map, or the records that programs send through it",
  options = {
    {
      name = "interval", short = "i", kind = "string", metavar = "SECONDS", default = "1",
      check = check_interval, text = "Time between two looks at the entries of a map",
    },
    {
      name = "count", short = "c", kind = "integer", minimum = 1, maximum = math.maxinteger,
      text = "End after so many changes or records. Without, Ctrl-C ends it",
    },
    {
      name = "type", short = "t", kind = "string",
      text = [[
Type of the records of a ring buffer or perf event array, from the
BTF of the program that sends them, or a format as of --value.
Without, records are shown as bytes.
Example: --type event]],
    },
    maps.key_format, maps.value_format,
  },
  operands = { maps.operand },
  draws = "change",
}

function watch.run(session, arguments)
  -- to read a ring is to write how far one has come
  local opened, err = maps.open(session, arguments.map, "r")
  local info = opened and opened:info()
  if info and map_types.of_records[info.type] then
    opened, err = maps.open(session, arguments.map, "rw")
    if not opened then return nil, err end
    return watching.records(opened, arguments.type, arguments.count)
  end
  if not opened then return nil, err end
  local typed
  typed, err = maps.type_of(opened, arguments)
  if not typed then return nil, err end
  return watching.changes(typed, tonumber(arguments.interval or "1"), arguments.count)
end

function watch.plain(change) return maps.plain(change.json) end

return watch
