-- Shows one entry of a map.

local error_object = require "bpf.error"
local maps = require "bpfctl.maps"

local get = {
  name = "get",
  summary = "Show the value of one key of a map",
  options = { maps.key_format, maps.value_format },
  operands = { maps.operand, maps.key_operand },
  draws = "entry",
}

function get.run(session, arguments)
  local typed <const>, err = maps.open_typed(session, arguments, "r")
  if not typed then return nil, err end
  local key, wrong = maps.read(typed, "key", arguments.key_word[1])
  if wrong then return nil, wrong end
  local bytes <const> = typed.key.write(key)
  local value, failure = typed.map:lookup(bytes)
  if value then return { typed = typed, key = bytes, value = value } end
  return nil, failure or error_object.new { code = "ENOENT",
    message = ("map %s has no key %s"):format(typed.info.name, arguments.key_word[1]) }
end

function get.plain(data) return maps.plain(require("bpfctl.format.json").entry(data)) end

return get
