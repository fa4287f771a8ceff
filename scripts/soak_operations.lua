-- What a soak does, one function each: it changes the daemon or the machine, and the model with it.
local uv = require "luv"
local core = require "bpf.core"
local json = require "bpf.json"
local bpfctl = require "spec.support.bpfctl"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

local operations = {}

local FIXED <const> = "veth0" -- carries the traffic and never goes
local PASSING <const> = { "veth1", "veth2", "veth3" }
local MOST <const> = 60 -- programs
local DECLARATION <const> = "soak.lua"

local function random_iface(soak)
  local there = { FIXED }
  for _, iface in ipairs(PASSING) do
    if soak.ifaces[iface] then there[#there + 1] = iface end
  end
  return there[math.random(#there)]
end

local function random_attach(soak)
  local kind <const> = math.random(5)
  if kind <= 2 then
    return "count_xdp", { type = "xdp", iface = random_iface(soak),
      priority = math.random(2, 1000) }
  elseif kind <= 4 then
    return "count_tc", { type = "tc", iface = random_iface(soak), priority = math.random(1000),
      direction = math.random(2) == 1 and "ingress" or "egress" }
  end
  return "count_call", { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" }
end

local function random_id(soak, matches)
  local ids <const> = soak.model:ids(function(program)
    return program.id ~= soak.anchor and (not matches or matches(program))
  end)
  return ids[math.random(math.max(#ids, 1))]
end

local function load_params(soak)
  local name <const>, attach <const> = random_attach(soak)
  return { name = name, attach = attach, metadata = { step = tostring(soak.step) } }
end

local function load(soak, params)
  soak.model:add(assert(rpc.load(soak.daemon, params)))
end

function operations.load(soak)
  if #soak.model:ids() < MOST then load(soak, load_params(soak)) else operations.unload(soak) end
end

function operations.load_with_shared_maps(soak)
  local owner <const> = random_id(soak, function(program) return not program.owner end)
  if not owner then return operations.load(soak) end
  local params <const> = load_params(soak)
  params.map_owner_id = owner
  load(soak, params)
end

function operations.unload(soak)
  local id <const> = random_id(soak)
  if not id then return end
  assert(rpc.call(soak.daemon, "program.unload", { id = id }))
  soak.model:remove(id)
end

function operations.replace(soak)
  local id <const> = random_id(soak, function(program) return not program.owner end)
  if not id then return end
  -- who shares its maps keeps them, and they have no new user then
  local object <close> = assert(core.system.open(rpc.object))
  local new = assert(rpc.call(soak.daemon, "program.replace", { id = id, fd = 0,
    metadata = { step = tostring(soak.step) } }, { descriptors = { object } }))
  soak.model:remove(id)
  soak.model:add(new)
end

-- Refused with the right code, and nothing has changed: the next check says whether.
function operations.mistake(soak)
  local _, attach = random_attach(soak)
  local kind <const> = math.random(5)
  local result, err
  if kind == 1 then
    result, err = rpc.load(soak.daemon, { name = "no_such", attach = attach })
  elseif kind == 2 then
    result, err = rpc.load(soak.daemon, { name = "out_of_bounds",
      attach = { type = "xdp", iface = random_iface(soak), priority = 5 } })
  elseif kind == 3 then
    result, err = rpc.load(soak.daemon, { name = "count_xdp",
      attach = { type = "xdp", iface = "nowhere", priority = 5 } })
  elseif kind == 4 then
    result, err = rpc.call(soak.daemon, "program.unload", { id = 4294967295 })
  else
    result, err = rpc.call(soak.daemon, "program.load", { name = "count_xdp", fd = 7,
      attach = attach })
  end
  assert(result == nil and err.code, "a mistake was no error")
end

function operations.read(soak)
  local id <const> = random_id(soak) or soak.anchor
  local program <const> = assert(rpc.call(soak.daemon, "program.get", { id = id }))
  assert(program.id == id and program.metadata.step == soak.model.programs[id].step)
  for _, line in ipairs { { "list" }, { "get", tostring(id) }, { "chain", "list" },
    { "map", "list" } } do
    soak.daemon:check(table.unpack(line))
  end
end

function operations.traffic(soak)
  if soak.stop_traffic then
    soak.sent = soak.sent + soak.stop_traffic()
    soak.stop_traffic = nil
    soak:check_traffic()
  else
    local before <const> = rpc.hits(soak.anchor_program)
    soak.stop_traffic = namespace.traffic(soak.pair)
    process.eventually(function() return rpc.hits(soak.anchor_program) > before end)
  end
end

-- Declarations: which labels are wanted, and where.

local function declaration_text(soak)
  local lines = {}
  for label, entry in pairs(soak.declared) do
    lines[#lines + 1] = ('program "%s" { path = "%s", name = "count_xdp", \z
      metadata = { step = "%s" }, attach = { type = "xdp", iface = "%s", priority = %d } }\n')
      :format(label, rpc.object, entry.step, entry.iface, entry.priority)
  end
  table.sort(lines)
  return table.concat(lines)
end

-- What the daemon has of the declaration, taken into the model as far as it is what was declared.
local function take_declared(soak)
  local labelled = {}
  for id, program in pairs(soak.model.programs) do
    if program.label then labelled[id] = true end
  end
  soak.model:settle(soak.daemon, { removed = labelled, added = function(program)
    local entry <const> = program.declared_by == DECLARATION and soak.declared[program.label]
    return entry and entry.iface == program.attach.iface and entry.step == program.metadata.step
  end })
  local list <const> = rpc.call(soak.daemon, "program.list").programs
  for _, program in ipairs(list) do
    local known <const> = soak.model.programs[program.id]
    if known and known.label then soak.model:add(program) end -- an apply moves what it keeps
  end
end

-- Which labels run, against those that should.
local function labels_missing(soak, wanted)
  local there = {}
  for _, program in pairs(soak.model.programs) do
    if program.label then there[program.label] = true end
  end
  for label in pairs(wanted) do
    if not there[label] then return label end
  end
  return nil
end

local function apply(soak)
  return bpfctl.run(soak.daemon, { "apply", "-", "--as", DECLARATION, "--prune", "-q" },
    { stdin = declaration_text(soak) })
end

function operations.apply(soak)
  for i = 1, 6 do
    local label <const> = "label-" .. i
    local dice <const> = math.random(3)
    if dice == 1 then
      soak.declared[label] = nil
    elseif dice == 2 then
      soak.declared[label] = { iface = random_iface(soak), priority = math.random(2, 1000),
        step = tostring(soak.step) }
    end
  end
  for label, entry in pairs(soak.declared) do -- what is not there cannot be applied
    if entry.iface ~= FIXED and not soak.ifaces[entry.iface] then soak.declared[label] = nil end
  end
  local result = apply(soak)
  assert(result.exit == 0, result.stderr)
  take_declared(soak)
  local missing <const> = labels_missing(soak, soak.declared)
  assert(not missing, ("%s was applied and does not run"):format(missing))
  result = apply(soak)
  assert(result.exit == 0 and result.stdout == "", "a second apply changes something")
end

-- Interfaces that go, and come again with what is declared for them.

local function add_interface(soak, iface)
  soak.daemon.options.namespace:check { "ip", "link", "add", iface, "type", "veth", "peer", "name",
    iface .. "p" }
  soak.ifaces[iface] = true
end

local function declared_on(soak, iface)
  local labels = {}
  for label, entry in pairs(soak.declared) do
    if entry.iface == iface then labels[label] = true end
  end
  return labels
end

local function remove_interface(soak, iface)
  soak.daemon.options.namespace:check { "ip", "link", "delete", iface }
  soak.ifaces[iface] = nil
  soak.model:drop_interface(iface)
end

-- The daemon hears of it by and by.
local function wait_for_agreement(soak, iface)
  process.eventually(function()
    take_declared(soak)
    local list <const> = rpc.call(soak.daemon, "program.list").programs
    return not labels_missing(soak, soak.ifaces[iface] and declared_on(soak, iface) or {})
      and not soak.model:difference(list)
  end, 30000)
end

function operations.interface(soak)
  local iface <const> = PASSING[math.random(#PASSING)]
  if soak.ifaces[iface] then
    remove_interface(soak, iface)
    if math.random(2) == 1 then add_interface(soak, iface) end -- at once, or at another time
  else
    add_interface(soak, iface)
  end
  wait_for_agreement(soak, iface)
  local missing <const> = labels_missing(soak, soak.ifaces[iface] and declared_on(soak, iface)
    or {})
  assert(not missing, ("%s was declared for %s, which is there again"):format(missing, iface))
end

-- Ends of the daemon, and of its jobs.

function operations.restart(soak)
  assert(soak.daemon:stop() == 0, "a stop in order has another exit status than 0")
  soak.daemon:restart()
end

function operations.kill(soak)
  soak.daemon:kill()
  if math.random(4) == 1 then
    local iface <const> = PASSING[math.random(#PASSING)] -- goes or comes while nobody looks
    if soak.ifaces[iface] then remove_interface(soak, iface) else add_interface(soak, iface) end
    soak.daemon:restart()
    return wait_for_agreement(soak, iface)
  end
  soak.daemon:restart()
end

-- A request that is under way when `strike` happens, at whatever moment of it.
local function in_the_midst(soak, strike)
  local client <const> = rpc.connect(soak.daemon)
  local id <const> = math.random(2) == 1 and random_id(soak) or nil
  local object <close> = assert(core.system.open(rpc.object))
  local params = id and { id = id } or load_params(soak)
  if not id then params.fd = 0 end
  assert(client.socket:send(json.encode { jsonrpc = "2.0", id = 1,
    method = id and "program.unload" or "program.load", params = params } .. "\n",
    not id and { object } or nil))
  uv.sleep(math.random(0, 60))
  strike()
  client:close()
  local may = { removed = { [id or 0] = true }, added = function(program)
    return not id and program.metadata.step == tostring(soak.step)
  end }
  -- a job that goes on after its client has gone ends before it is asked for
  process.eventually(function() return rpc.call(soak.daemon, "system.status").jobs == 0 end)
  soak.model:settle(soak.daemon, may)
end

function operations.kill_in_the_midst(soak)
  in_the_midst(soak, function()
    soak.daemon:kill()
    soak.daemon:restart()
  end)
end

function operations.hang_up(soak) in_the_midst(soak, function() end) end

function operations.kill_a_job(soak)
  in_the_midst(soak, function()
    local path = ("/proc/%d/task/%d/children"):format(soak.daemon.pid, soak.daemon.pid)
    local file <close> = assert(io.open(path))
    for child in file:read("a"):gmatch "%d+" do
      core.system.kill(math.tointeger(tonumber(child)), "KILL")
    end
  end)
end

function operations.remove_pin(soak)
  local hooks <const> = core.system.list(soak.daemon.run_dir .. "/fs/chains") or {}
  if #hooks == 0 then return end
  local pin = ("%s/fs/chains/%s/link"):format(soak.daemon.run_dir, hooks[math.random(#hooks)])
  if not os.remove(pin) then return end -- clsact has none
  assert(process.eventually(function() return core.system.facts(pin) ~= nil end),
    "a link's pin was not put back")
end

---How often each is done, of a hundred or so.
operations.weights = {
  { "load", 26 }, { "load_with_shared_maps", 5 }, { "unload", 18 }, { "replace", 6 },
  { "mistake", 6 }, { "read", 6 }, { "traffic", 4 }, { "apply", 6 }, { "interface", 5 },
  { "restart", 2 }, { "kill", 3 }, { "kill_in_the_midst", 4 }, { "hang_up", 4 },
  { "kill_a_job", 3 }, { "remove_pin", 2 },
}

---@param soak table
function operations.set_up(soak)
  for _, iface in ipairs(PASSING) do add_interface(soak, iface) end
  local anchor = assert(rpc.load_xdp(soak.daemon, FIXED, 1, { metadata = { step = "anchor" } }))
  soak.anchor, soak.anchor_program = anchor.id, anchor
  soak.model:add(anchor)
end

return operations
