-- Reads the pinned tree, in a job: what is in force, what died half-way, and what somebody else has
-- changed. One look serves the start, `bpfctl doctor`, and what a dead job has left.

local bpf = require "bpf"
local core = require "bpf.core"
local chain_examination = require "bpfd.chain_examination"
local findings = require "bpfd.findings"
local program_examination = require "bpfd.program_examination"
local tree = require "bpfd.tree"

local reconcile_job = {}

--- What runs at one hook, after somebody else has changed it.
---@param known bpfd.known
---@return table manifest  without members where nothing of ours is
function reconcile_job.follow(dirs, hook_name, known)
  local home <close> = assert(core.system.open "/proc/self/ns/net")
  return chain_examination.look(dirs, hook_name, home, known, findings.new(true))
    or { members = {} }
end

local function look_at_staging(dirs, told)
  for _, name in ipairs(tree.names(dirs.fs .. "/staging")) do
    local path <const> = dirs.fs .. "/staging/" .. name
    told:add({ code = "attempt.left", subject = path, text = "a job that died has left it",
      repair = "remove it" }, function() return bpf.pin.remove_tree(path) end)
  end
end

-- Those that have pins, and those that the index has.
local function hook_names(dirs, known)
  local names, seen = tree.names(dirs.fs .. "/chains"), {}
  for _, name in ipairs(names) do seen[name] = true end
  for name in pairs(known.chains) do
    if not seen[name] then table.insert(names, name) end
  end
  table.sort(names)
  return names
end

local function look_at_hooks(dirs, known, home, told)
  local hooks = { chains = {}, of = {}, opaque = {} }
  for _, name in ipairs(hook_names(dirs, known)) do
    local manifest, is_opaque = chain_examination.look(dirs, name, home, known, told)
    hooks.chains[name], hooks.opaque[name] = manifest, is_opaque
    for _, member in ipairs(manifest and manifest.members or {}) do hooks.of[member.id] = name end
  end
  return hooks
end

-- What may be in a chain that nobody can read is left alone.
local function is_in_opaque(dirs, hooks, id, row)
  if row then return hooks.opaque[row.hook] end
  local note <const> = next(hooks.opaque) and tree.note(dirs, id)
  return note and hooks.opaque[note.attach.hook]
end

-- Those that have pins, and those that run without.
local function program_ids(dirs, hooks)
  local ids, seen = tree.ids(dirs.fs .. "/programs"), {}
  for _, id in ipairs(ids) do seen[id] = true end
  for _, manifest in pairs(hooks.chains) do
    for _, member in ipairs(manifest.members) do
      if not member.owner and not seen[member.id] then table.insert(ids, member.id) end
    end
  end
  table.sort(ids)
  return ids
end

-- Where each program has a link of its own, one that came in the place of another is put in force
-- before that one goes.
local function add_replaced(set, note, is_in_force)
  if note and note.replaces and is_in_force then set[note.replaces] = true end
end

local function read_notes(dirs, ids, hooks)
  local notes, replaced = {}, {}
  for _, id in ipairs(ids) do
    local runs <const> = hooks.of[id] or tree.link_runs(dirs, id)
    notes[id] = tree.note(dirs, id)
    if not hooks.of[id] then add_replaced(replaced, notes[id], runs) end
  end
  return notes, replaced
end

local function look_at_programs(dirs, options, hooks, home, told)
  local programs <const>, users <const>, known <const> = {}, {}, options.known.programs
  local ids <const> = program_ids(dirs, hooks)
  local notes <const>, replaced = read_notes(dirs, ids, hooks)
  for _, id in ipairs(ids) do
    local row <const> = known[id]
    local hook <const> = hooks.of[id] or row and row.hook or nil
    local is_ours = is_in_opaque(dirs, hooks, id, row) or program_examination.look({
      dirs = dirs, id = id, row = row, subject = program_examination.title(id, row),
      hook = hook, group = options.group, findings = told, home = home,
      is_replaced = replaced[id],
    }, hooks.of[id] and hooks.chains[hook])
    if is_ours then
      local note <const> = notes[id] or tree.note(dirs, id)
      table.insert(programs, { id = id, hook = hook })
      users[id] = true
      if note and note.map_owner_id then users[note.map_owner_id] = true end
    end
  end
  return programs, users
end

local function look_at_maps(dirs, users, told)
  for _, id in ipairs(tree.ids(dirs.fs .. "/maps")) do
    if not users[id] then
      told:add({ code = "attempt.left", subject = dirs:maps(id),
        text = "no program uses these pins of maps", repair = "remove them" },
        function() return bpf.pin.remove_tree(dirs:maps(id)) end)
    end
  end
end

-- What the index and the tree do not both know; the daemon writes the index.
local function look_at_index(dirs, known, programs, told)
  local rows <const>, action <const> = {}, { kind = "index" }
  for id, row in pairs(known) do rows[id] = row end
  for _, program in ipairs(programs) do
    if not rows[program.id] then
      told:add { code = "index.missing", subject = program_examination.title(program.id),
        text = "it runs, and is not in the database", repair = "write it down", action = action }
    end
    rows[program.id] = nil
  end
  for id, row in pairs(rows) do
    if not tree.exists(dirs:program(id)) then
      told:add { code = "program.lost", subject = program_examination.title(id, row),
        text = "all its pins are gone, and with them the program",
        repair = "forget it", action = action }
    end
  end
end

--- The whole tree, while no other job runs.
---@param dirs table
---@param options { known: bpfd.known, mends: boolean, group: integer? }
---@return { programs: { id: integer, hook: string? }[], chains: table<string, table>,
---  findings: bpfd.finding[] }
function reconcile_job.run(dirs, options)
  local home <close> = assert(core.system.open "/proc/self/ns/net")
  local told <const> = findings.new(options.mends)
  look_at_staging(dirs, told)
  local hooks <const> = look_at_hooks(dirs, options.known, home, told)
  local programs <const>, users <const> = look_at_programs(dirs, options, hooks, home, told)
  look_at_maps(dirs, users, told)
  look_at_index(dirs, options.known.programs, programs, told)
  return { programs = programs, chains = hooks.chains, findings = told.list }
end

-- The programs that a job had in its hands when it died: what it was to drop, and what it had made.
local function in_hands(dirs, plan)
  local programs = {}
  for _, member in ipairs(plan.drop) do
    table.insert(programs, { id = member.id, hook = member.hook_name, maps = member.own_maps,
      last_maps = member.maps, users = member.users })
  end
  for _, id in ipairs(tree.ids(dirs.fs .. "/programs")) do
    local note = tree.note(dirs, id)
    if note and note.job == plan.mark then
      table.insert(programs, { id = id, hook = note.attach.hook, is_new = true, note = note,
        maps = dirs:maps(id) })
    end
  end
  return programs
end

local function is_member(manifest, id)
  for _, member in ipairs(manifest and manifest.members or {}) do
    if member.id == id then return true end
  end
  return false
end

-- A chain that nothing runs any more, or not yet, is what the job has just taken off, or not yet
-- put on: it says nothing of what its members were to become.
local function is_in_force(dirs, chains, program)
  local chain <const> = program.hook and chains[program.hook]
  if program.hook then return chain and chain.head ~= nil and is_member(chain, program.id) end
  return tree.link_runs(dirs, program.id)
end

-- What it had staged; maps that were published already, before their program came into its place.
local function drop_staged(dirs, pid)
  for _, id in ipairs(tree.ids(dirs:staging(pid))) do bpf.pin.remove_tree(dirs:maps(id)) end
  bpf.pin.remove_tree(dirs:staging(pid))
end

local function look_at_touched(dirs, programs, plan, known, home)
  local chains, told = {}, findings.new(true)
  local function look(hook_name)
    if not hook_name or chains[hook_name] ~= nil then return end
    chains[hook_name] = chain_examination.look(dirs, hook_name, home, known, told) or false
  end
  for _, program in ipairs(programs) do look(program.hook) end
  for _, member in ipairs(plan.keep) do look(member.hook_name) end
  for _, member in ipairs(plan.attach) do look(member.hook_name) end
  return chains
end

-- Maps go with the last of those that were to leave and use them.
local function drop_last_maps(program, kept_ids)
  for _, user in ipairs(program.users or {}) do
    if kept_ids[user] then return end
  end
  if program.last_maps then bpf.pin.remove_tree(program.last_maps) end
end

local function drop(dirs, program, kept_ids, shared)
  tree.remove_program(dirs, program.id)
  if program.maps and not shared[program.id] then bpf.pin.remove_tree(program.maps) end
  drop_last_maps(program, kept_ids)
end

--- What one job left behind when it was killed or died. Its locks are still held.
---@param dirs table
---@param pid integer
---@param plan bpfd.change_plan  what its work was
---@param known bpfd.known
---@return { kept: { id: integer, hook: string?, is_new: boolean?, note: table? }[],
---  gone: integer[], chains: table<string, table|false> }  note: of those that are new
function reconcile_job.settle(dirs, pid, plan, known)
  local home <close> = assert(core.system.open "/proc/self/ns/net")
  drop_staged(dirs, pid)
  local programs <const> = in_hands(dirs, plan)
  local result = { kept = {}, gone = {},
    chains = look_at_touched(dirs, programs, plan, known, home) }
  local kept_ids, replaced, shared = {}, {}, {}
  for _, program in ipairs(programs) do
    local runs <const> = is_in_force(dirs, result.chains, program)
    kept_ids[program.id] = runs
    add_replaced(replaced, program.note, runs)
    local owner <const> = runs and program.note and program.note.map_owner_id
    if owner then shared[owner] = true end
  end
  for _, program in ipairs(programs) do
    if replaced[program.id] and not program.hook then kept_ids[program.id] = nil end
  end
  local emptied = {}
  for _, program in ipairs(programs) do
    if kept_ids[program.id] then
      tree.unmark_leaving(dirs, program.id)
      table.insert(result.kept, { id = program.id, hook = program.hook, is_new = program.is_new,
        note = program.note })
    else
      table.insert(result.gone, program.id)
      drop(dirs, program, kept_ids, shared)
      emptied[program.hook or false] = true
    end
  end
  -- chains of which nothing is left then
  for hook_name, chain in pairs(result.chains) do
    if emptied[hook_name] and chain and not chain.head then
      result.chains[hook_name] = chain_examination.look(dirs, hook_name, home, known,
        findings.new(true)) or false
    end
  end
  return result
end

return reconcile_job
