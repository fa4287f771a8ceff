-- Writes one entry of a map.

local maps = require "bpfctl.maps"

local set = {
  name = "set",
  summary = "Write the value of one key of a map",
  options = {
    maps.key_format, maps.value_format,
    { name = "new", kind = "flag", text = "Only if the map has no such key" },
    { name = "existing", kind = "flag", text = "Only if the map has such a key" },
    {
      name = "per_cpu", kind = "flag",
      text = "The value is a list by CPU. Without, every CPU gets the same",
    },
  },
  operands = {
    maps.operand, maps.key_operand,
    {
      name = "value_word", metavar = "VALUE", kind = "string", required = true,
      text = [[
Value: a number, a name of the enum, a text, [1, 2] for an array,
{member: 1, other: [1, 2]} for a struct; or JSON, as map show prints it.
Members that are left out become 0.]],
    },
  },
  draws = "nothing",
  validate = function(values)
    if values.new and values.existing then return "--new and --existing exclude each other" end
  end,
}

local function for_each_cpu(typed, value)
  local values = {}
  for cpu = 1, typed:cpu_count() do values[cpu] = value end
  return values
end

local function read_values(typed, word)
  local list, err = require("bpf.literal").read(word)
  if err then return nil, err end
  local wrong
  for _, value in ipairs(type(list) == "table" and list or {}) do
    local ok, why = pcall(typed.value.write, value)
    if not ok then wrong = wrong or why end
  end
  local cpus <const> = typed:cpu_count()
  if type(list) ~= "table" or #list ~= cpus then
    wrong = ("it must list %d values, one for each CPU"):format(cpus)
  end
  if not wrong then return list end
  return nil, require("bpf.error").new { code = "EINVAL",
    message = ("the value '%s' cannot be taken: %s"):format(word, wrong) }
end

local function value_of(typed, arguments)
  local word <const> = arguments.value_word[1]
  if typed:is_per_cpu() and arguments.per_cpu then return read_values(typed, word) end
  local value, err = maps.read(typed, "value", word)
  if err then return nil, err end
  return typed:is_per_cpu() and for_each_cpu(typed, value) or value
end

function set.run(session, arguments)
  local typed, err = maps.open_typed(session, arguments, "rw")
  if not typed then return nil, err end
  local key, value
  key, err = maps.read(typed, "key", arguments.key_word[1])
  if err then return nil, err end
  value, err = value_of(typed, arguments)
  if err then return nil, err end
  local flag <const> = arguments.new and "new" or arguments.existing and "existing" or "any"
  return typed:set(key, value, flag)
end

return set
