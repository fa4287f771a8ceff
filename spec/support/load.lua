-- What each of many clients asks of one daemon, again and again, and whether every answer is right.
-- Run by itself it is such a crowd: lua5.4 spec/support/load.lua SOCKET CLIENTS SECONDS IFACE ...
local uv = require "luv"
local crowd = require "spec.support.crowd"

local load = {}

local OBJECT <const> = (os.getenv "BUILD" or "build") .. "/objects/daemon.o"

local function attach_of(kind, iface, number)
  if kind == "count_call" then
    return { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" }
  end
  return { type = kind == "count_xdp" and "xdp" or "tc", iface = iface, priority = number,
    direction = kind == "count_tc" and "ingress" or nil }
end

local kinds <const> = { "count_xdp", "count_tc", "count_call" }

-- What of a program is its own: where it stands among others is of the moment.
local function own_facts(program)
  local attach <const> = program.attach
  return table.concat({ program.id, program.name, program.type, program.metadata.client,
    tostring(attach.iface), tostring(attach.priority), program.kernel.tag, program.map_pin_path,
    table.concat(program.kernel.map_ids, ",") }, " ")
end

-- How often the list has this program; nothing else in it may say that it is this client's.
local function times_listed(list, id, client_name)
  local times, last = 0, 0
  for _, program in ipairs(list) do
    assert(program.id > last, "a list that is out of order")
    last = program.id
    if program.id == id then
      times = times + 1
    else
      assert(program.metadata.client ~= client_name, "the list tells of what was unloaded")
    end
  end
  return times
end

---One load, with all that is asked about it until it is unloaded.
---@param client table    of spec.support.crowd
---@param number integer  the client's own
---@param ifaces string[]
function load.round(client, number, ifaces)
  local name <const> = "client-" .. number
  local kind <const> = kinds[number % #kinds + 1]
  local iface <const> = ifaces[number % #ifaces + 1]
  local loaded = assert(client:load(OBJECT, { name = kind, metadata = { client = name },
    attach = attach_of(kind, iface, number) }))
  assert(loaded.name == kind and loaded.metadata.client == name)
  local got = assert(client:call("program.get", { id = loaded.id }))
  assert(own_facts(got) == own_facts(loaded), "another program than was loaded")
  assert(times_listed(assert(client:call("program.list")).programs, loaded.id, name) == 1)
  assert(assert(client:call("program.unload", { id = loaded.id })).id == loaded.id)
  local none, err = client:call("program.get", { id = loaded.id })
  assert(none == nil and err.code == "ENOENT", "it is told of after its unload")
  assert(times_listed(assert(client:call("program.list")).programs, loaded.id, name) == 0)
end

---So many clients, each for so many rounds or, where `seconds` is given, for that long.
---@param socket string
---@param options { clients: integer, rounds: integer?, seconds: number?, ifaces: string[] }
---@return integer rounds  that were run by all of them together
function load.run(socket, options)
  local rounds = 0
  local deadline <const> = options.seconds and uv.hrtime() + options.seconds * 1e9
  crowd.run(options.clients, function(number)
    local client <close> = crowd.connect(socket)
    local own = 0
    while deadline and uv.hrtime() < deadline or not deadline and own < options.rounds do
      load.round(client, number, options.ifaces)
      own, rounds = own + 1, rounds + 1
    end
  end)
  return rounds
end

if not pcall(debug.getlocal, 4, 1) then -- run, not required
  print(load.run(arg[1], { clients = tonumber(arg[2]), seconds = tonumber(arg[3]),
    ifaces = table.move(arg, 4, #arg, 1, {}) }))
end

return load
