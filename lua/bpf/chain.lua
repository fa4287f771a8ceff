-- Chains: several programs on one hook, in order, swapped as one. Two engines build them.

local error_object = require "bpf.error"

local chain = {}

local engine_names <const> = { "fuse", "freplace" }

-- How records begin; engines name theirs as `magic`.
local engine_of <const> = { bpfdfuse = "fuse", bpfdfrep = "freplace" }

---What both engines are. A member is what `build` gets: { name=, mask=, program=, record=, maps= }.
---@class bpf.chain.engine
---@field name string
---@field magic string first eight bytes of this engine's records
---@field available fun(kind: "xdp"|"tc"): true|nil, table?
---@field prepare fun(object: table, program_name: string, hook: table): true|nil, table?
---@field record fun(object: table, program_name: string, note: string): string|nil, table?
---@field note fun(record: string): string|nil, table?
---@field build fun(hook: table, members: table[], options: table?): table|nil, table?

---The engine of this name. Its `available` says whether the running kernel lets it work.
---@param name "fuse"|"freplace"
---@return bpf.chain.engine
function chain.engine(name)
  for _, known in ipairs(engine_names) do
    if name == known then return require("bpf.chain." .. name) end
  end
  error(("no such engine: %s (there are %s)"):format(
    tostring(name), table.concat(engine_names, " and ")), 2)
end

---The note that was given when a record was made, whichever engine made it.
---@param record string
---@return string? note
---@return table? err
function chain.note(record)
  local name = engine_of[record:sub(1, 8)]
  if name then return chain.engine(name).note(record) end
  return nil, error_object.new { code = "EINVAL", message = "not a member record" }
end

---Running order: by priority, lower first, and among equals the newer first.
---@generic T: { priority: integer }
---@param members T[] from the oldest to the newest
---@return T[]
function chain.order(members)
  local age, ordered = {}, {}
  for position, member in ipairs(members) do
    age[member], ordered[position] = position, member
  end
  table.sort(ordered, function(a, b)
    if a.priority ~= b.priority then return a.priority < b.priority end
    return age[a] > age[b]
  end)
  return ordered
end

---A place where chains run; see bpf.chain.hook.
---@param options table
---@return table? hook
---@return table? err
function chain.hook(options)
  return require("bpf.chain.hook").new(options)
end

---Returns when no packet is under way any more in a chain that was replaced before the call. Only
---then may pins of an old chain's segments, or of a removed member's program arrays, go: such an
---array is emptied with its last pin, and a packet that comes to it then is dropped.
---@return true|nil
---@return bpf.error? err
function chain.settle()
  return require("bpf.core").chain.settle()
end

---Runs and stops of every position of a chain, from a build or from where one was pinned.
---@param source table|string
---@return table? counters
---@return table? err
function chain.counters(source)
  return require("bpf.chain.counters").read(source)
end

---Who is in a running chain, as it is pinned beside it.
chain.manifest = require "bpf.chain.manifest"

return chain
