-- What load-from-file and load-from-image have in common: the attach table, with files that the
-- client opens by its own rights.

local loading = {}

-- A uprobe's target: the file is looked for here, opened by us and probed by the daemon. Inside a
-- container only the daemon can look.
local function add_target(passed, attach)
  if attach.container_pid then return true end
  local path, err = require("bpf.library").find(attach.target)
  if not path then return nil, err end
  attach.target_fd, err = passed:open(path, "a program or library")
  return attach.target_fd, err
end

local function add_namespace(passed, attach)
  if not attach.netns:find("/", 1, true) then attach.netns = "/run/netns/" .. attach.netns end
  local err
  attach.netns_fd, err = passed:open(attach.netns, "a network namespace")
  return attach.netns_fd, err
end

--- The parameters of program.load that do not say where the object comes from.
---@param arguments table
---@param passed bpfctl.passed
---@return table? params
---@return bpf.error?
function loading.params(arguments, passed)
  local attach = { type = arguments.type }
  for name, value in pairs(arguments.attach) do attach[name] = value end
  local good, err = true, nil
  if attach.netns then good, err = add_namespace(passed, attach) end
  if good and attach.target then good, err = add_target(passed, attach) end
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
