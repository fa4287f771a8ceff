-- Deletes an entry of a map.

local error_object = require "bpf.error"
local maps = require "bpfctl.maps"

local delete = {
  name = "delete",
  summary = "Delete one key of a map",
  options = {
    maps.key_format, maps.value_format,
    { name = "missing_ok", kind = "flag", text = "A key that is not there is no error" },
  },
  operands = { maps.operand, maps.key_operand },
  draws = "nothing",
}

function delete.run(session, arguments)
  local typed, err = maps.open_typed(session, arguments, "rw")
  if not typed then return nil, err end
  local word <const> = arguments.key_word[1]
  local key
  key, err = maps.read(typed, "key", word)
  if err then return nil, err end
  local existed
  existed, err = typed:delete(key)
  if existed == nil then return nil, err end
  if existed or arguments.missing_ok then return {} end
  return nil, error_object.new { code = "ENOENT",
    message = ("map %s has no key %s"):format(typed.info.name, word) }
end

return delete
