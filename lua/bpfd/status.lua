-- What `bpfctl status` tells: the daemon, the kernel, what is declared and persisted, and why
-- something of that does not run.

local bpf = require "bpf"
local core = require "bpf.core"
local declarations = require "bpfd.declarations"
local job = require "bpfd.job"
local json = require "bpf.json"
local persisted = require "bpfd.persisted"
local time = require "bpfd.time"
local uv = require "luv"

local status = {}

local or_null <const> = json.or_null

local function sockets(daemon)
  local list = {}
  for i, listener in ipairs(daemon.server.listeners) do
    local listen <const> = daemon.config.listen[i]
    list[i] = { path = listener.path, group = or_null(listener.has_group and listen.group or nil),
      mode = ("%04o"):format(listen.mode), allow = listen.allow,
      from_service_manager = listener.is_given }
  end
  return list
end

-- Loads programs to find out, so once for each daemon.
local function engines(daemon, request)
  if daemon.engines then return daemon.engines end
  local found <const> = request:run(function() return bpf.features.list "engine" end)
  if not found then return {} end
  local list = {}
  for i, engine in ipairs(found) do
    list[i] = { name = engine.name, available = engine.available, reason = or_null(engine.reason) }
  end
  daemon.engines = list
  return list
end

local function count_by_declaration(daemon)
  local counts = {}
  for _, row in ipairs(daemon.store:declared()) do
    local name <const> = row.note.declared_by
    if name then counts[name] = (counts[name] or 0) + 1 end
  end
  return counts
end

local function entry(name, file, state, counts)
  return { name = name, file = or_null(file), state = state.word, problem = or_null(state.problem),
    waiting_for = state.waiting_for or {}, programs = counts[name] or 0 }
end

-- What an apply could not do outweighs what waits.
local function state_of(declared, problem, under_way)
  if under_way then return { word = under_way } end
  if problem then return { word = "failed", problem = problem } end
  local missing <const> = declared and declarations.missing(declared) or {}
  if #missing > 0 then return { word = "waiting", waiting_for = missing } end
  return { word = "applied" }
end

local function declared(daemon)
  local store <const>, boot <const>, list, seen = daemon.store, daemon.boot, {}, {}
  local counts <const> = count_by_declaration(daemon)
  for _, file in ipairs(boot.files.files) do
    seen[file.name] = true
    table.insert(list, entry(file.name, boot.files.directory .. "/" .. file.name,
      state_of(store:declaration(file.name), file.problem, file.under_way), counts))
  end
  for _, name in ipairs(store:declarations()) do
    local kept <const> = not seen[name] and store:declaration(name)
    if kept then
      local problem <const> = kept.awaited and boot:problem_of(name) or nil
      table.insert(list, entry(name, kept.file, state_of(kept, problem), counts))
    end
  end
  return list
end

local function persisted_object(number, note, id, state)
  local attach <const> = note.attach
  return { number = or_null(number), id = or_null(id), name = note.name, type = note.type,
    iface = or_null(attach.iface), state = state.word, problem = or_null(state.problem),
    waiting_for = state.waiting_for or {} }
end

local function persisted_programs(daemon)
  local list = {}
  for _, one in ipairs(persisted.running(daemon.store)) do
    local row <const> = daemon.store:program(one.id)
    table.insert(list, persisted_object(one.number, row.note, one.id, { word = "running" }))
  end
  for _, one in ipairs(daemon.boot.restoring:state()) do
    local state = { word = "waiting", waiting_for = { one.waiting_for } }
    if one.problem then state = { word = "failed", problem = one.problem } end
    table.insert(list, persisted_object(one.number, one.note, nil, state))
  end
  table.sort(list, function(a, b)
    return (math.tointeger(a.number) or 0) < (math.tointeger(b.number) or 0)
  end)
  return list
end

--- The object of system.status.
---@param daemon table
---@param request table
---@return table
function status.of(daemon, request)
  local system <const>, uname <const> = core.system, uv.os_uname()
  return {
    version = system.version, pid = system.identity().pid,
    started_at = time.text(daemon.started_at),
    uptime = (system.clock "monotonic" - daemon.started) // 1000000000,
    boot_id = daemon.store.boot_id, run_dir = daemon.run_dir, state_dir = daemon.state_dir,
    config = daemon.config_path, sockets = sockets(daemon),
    capabilities = daemon.privilege.capabilities, refused_calls = daemon.privilege.refused_calls,
    resident_bytes = uv.resident_set_memory(),
    programs = daemon.store:count "programs", chains = daemon.store:count "chains",
    jobs = job.count(),
    kernel = { release = uname.release, machine = uname.machine,
      engines = engines(daemon, request) },
    programs_directory = { path = daemon.boot.files.directory,
      problem = or_null(daemon.boot.files.problem) },
    policies = { hooks = #daemon.policy.hooks, problem = or_null(daemon.policy.problem) },
    declarations = declared(daemon), persisted = persisted_programs(daemon),
  }
end

--- What of programs.d is not in force, and why.
---@return { name: string, problem: string }[]
function status.failures(daemon)
  local list, files = {}, daemon.boot.files
  if files.problem then list[1] = { name = files.directory, problem = files.problem } end
  for _, file in ipairs(files.files) do
    if file.problem then table.insert(list, { name = file.name, problem = file.problem }) end
  end
  return list
end

return status
