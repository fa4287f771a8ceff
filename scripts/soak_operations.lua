-- What a soak does, one function each: it changes the daemon or the machine, and the model with it.
local uv = require "luv"
local core = require "bpf.core"
local json = require "bpf.json"
local namespace = require "spec.support.namespace"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"
local declarations = require "scripts.soak_declarations"
local interfaces = require "scripts.soak_interfaces"

local operations = {}

local MOST <const> = 60 -- programs

local function random_attach(soak)
  local kind <const> = math.random(5)
  if kind <= 2 then
    return "count_xdp", { type = "xdp", iface = interfaces.random(soak),
      priority = math.random(2, 1000) }
  elseif kind <= 4 then
    return "count_tc", { type = "tc", iface = interfaces.random(soak), priority = math.random(1000),
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
      attach = { type = "xdp", iface = interfaces.random(soak), priority = 5 } })
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

operations.apply = declarations.apply

function operations.interface(soak)
  local iface <const> = interfaces.random_passing()
  local goes <const> = soak.ifaces[iface]
  interfaces.turn(soak, iface)
  -- at once, or at another time
  if goes and math.random(2) == 1 then interfaces.turn(soak, iface) end
  declarations.await(soak, iface)
end

-- Ends of the daemon, and of its jobs.

function operations.restart(soak)
  assert(soak.daemon:stop() == 0, "a stop in order has another exit status than 0")
  soak.daemon:restart()
end

function operations.kill(soak)
  soak.daemon:kill()
  if math.random(4) == 1 then
    local iface <const> = interfaces.random_passing() -- goes or comes while nobody looks
    interfaces.turn(soak, iface)
    soak.daemon:restart()
    return declarations.await(soak, iface)
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
  in_the_midst(soak, function() soak.daemon:kill_jobs() end)
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
  interfaces.add_all(soak)
  local anchor = assert(rpc.load_xdp(soak.daemon, interfaces.fixed, 1,
    { metadata = { step = "anchor" } }))
  soak.anchor, soak.anchor_program = anchor.id, anchor
  soak.model:add(anchor)
end

return operations
