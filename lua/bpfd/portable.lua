-- Values for a process that has no copy of them: tables that are shared stay shared, and
-- descriptors travel beside the rest.

local json = require "bpf.json"

local portable = {}

local is_plain <const> = { ["nil"] = true, boolean = true, number = true, string = true }

local pack_any ---@type fun(state: table, value: any): any

-- A node is its mark, then keys and values in turn.
local function pack_table(state, value)
  local place = state.places[value]
  if place then return { place } end
  place = #state.nodes + 1
  local meta <const> = getmetatable(value)
  local mark <const> = meta and meta.__jsontype
  if meta and not mark then error(state.refusal, 0) end
  local node = { mark or false }
  state.places[value], state.nodes[place] = place, node
  for key, part in next, value do
    node[#node + 1] = pack_any(state, key)
    node[#node + 1] = pack_any(state, part)
  end
  return { place }
end

local function pack_descriptor(state, value)
  local place = state.places[value]
  if not place then
    place = #state.descriptors + 1
    state.places[value], state.descriptors[place] = place, value
  end
  return { -place }
end

function pack_any(state, value)
  local kind <const> = type(value)
  if is_plain[kind] then return value end
  if kind == "table" then return pack_table(state, value) end
  if kind == "userdata" and getmetatable(value).__name == "bpf.descriptor" then
    return pack_descriptor(state, value)
  end
  error(state.refusal, 0)
end

--- What `bpf.frame` can send of a table.
---@param value table  of plain values, tables of such, and descriptors
---@return table? packed  nil where something else is in it, such as a function or an object
---@return table descriptors
function portable.pack(value)
  local state = { nodes = {}, places = {}, descriptors = {}, refusal = {} }
  local good, problem = pcall(pack_any, state, value)
  if good then return state.nodes, state.descriptors end
  if problem ~= state.refusal then error(problem, 0) end
  return nil, {}
end

--- The table again.
---@param nodes table
---@param descriptors table  in the same order
---@return table
function portable.unpack(nodes, descriptors)
  local tables = {}
  for place, node in ipairs(nodes) do
    tables[place] = node[1] == "object" and json.object {} or {}
  end
  local function value_of(part)
    if type(part) ~= "table" then return part end
    if part[1] < 0 then return descriptors[-part[1]] end
    return tables[part[1]]
  end
  for place, node in ipairs(nodes) do
    for at = 2, #node, 2 do tables[place][value_of(node[at])] = value_of(node[at + 1]) end
  end
  return tables[1]
end

return portable
