-- What load-from-file and load-from-image have in common: the attach table, with files that the
-- client opens by its own rights.

local loading = {}

--- The parameters of program.load that do not say where the object comes from.
---@param arguments table
---@param passed bpfctl.passed
---@return table? params
---@return bpf.error?
function loading.params(arguments, passed)
  local attach = { type = arguments.type }
  for name, value in pairs(arguments.attach) do attach[name] = value end
  local good, err = passed:open_attach(attach)
  if not good then return nil, err end
  return {
    name = arguments.name ~= "" and arguments.name or nil,
    global = arguments.global,
    metadata = arguments.metadata,
    map_owner_id = arguments.map_owner_id,
    persist = arguments.persist,
    attach = attach,
  }
end

--- With -q.
function loading.brief(program) return tostring(program.id) .. "\n" end

return loading
