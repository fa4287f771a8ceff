-- What `list` takes while 64 clients load and unload, for what it takes when nobody else asks; and
-- how long a daemon takes over what runs.
local uv = require "luv"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

local bench_clients = {}

local CLIENTS <const> = 64
local STANDING <const> = 32 -- programs that are there all the time
local MOST <const> = 5 -- times what it takes idle: the aim
local ADOPTION <const> = 2 -- seconds: the aim for a thousand programs

-- Seconds of each list in that time.
local function times_of_lists(session, seconds)
  local times, deadline = {}, uv.hrtime() + seconds * 1e9
  repeat
    local started <const> = uv.hrtime()
    assert(session:call "program.list")
    times[#times + 1] = (uv.hrtime() - started) / 1e9
  until uv.hrtime() > deadline
  return times
end

local function append(list, more) table.move(more, 1, #more, #list + 1, list) end

local function p99(times)
  table.sort(times)
  return times[math.ceil(#times * 0.99)] * 1000
end

---The p99 of `list`, of a client of its own.
---@param figures table  of scripts.figures
---@param bpfd table
---@param ifaces string[]  in the daemon's namespace
---@param seconds number   of load; a quarter of that is measured idle before and after
function bench_clients.list(figures, bpfd, ifaces, seconds)
  local ids = {}
  for i = 1, STANDING do
    ids[i] = assert(rpc.load(bpfd, { name = "count_call",
      attach = { type = "tracepoint", tracepoint = "syscalls/sys_enter_getpgid" } })).id
  end
  local session <close> = rpc.connect(bpfd)
  local idle <const> = times_of_lists(session, seconds / 4)
  local output <const> = os.tmpname()
  local crowd = process.start({ "lua5.4", "spec/support/load.lua", bpfd.socket,
    tostring(CLIENTS), tostring(seconds), table.unpack(ifaces) }, { output = output })
  local busy = {}
  while crowd:alive() do append(busy, times_of_lists(session, 0.2)) end
  local file <close> = assert(io.open(output))
  local rounds <const> = file:read "a"
  os.remove(output)
  assert(crowd.status == 0, "a client was answered wrong: " .. rounds)
  append(idle, times_of_lists(session, seconds / 4))
  for _, id in ipairs(ids) do assert(rpc.call(bpfd, "program.unload", { id = id })) end
  local a <const>, b <const> = p99(busy), p99(idle)
  figures:add(("p99 of list beside %d clients that load and unload, for idle"):format(CLIENTS),
    ("%.1f times"):format(a / b), ("%.1f ms for %.1f ms; %d rounds, %d lists"):format(a, b,
      tonumber(rounds), #busy), ("at most %d times"):format(MOST), a / b <= MOST)
end

---From the start of a daemon to its first list of all that runs.
---@param figures table
---@param bpfd table  with `count` programs
---@param count integer
function bench_clients.adoption(figures, bpfd, count)
  for _, with in ipairs { "its database", "no database" } do
    bpfd:kill()
    if with == "no database" then
      for _, suffix in ipairs { "", "-wal", "-shm" } do
        os.remove(bpfd.state_dir .. "/bpfd.db" .. suffix)
      end
    end
    local started <const> = uv.hrtime()
    bpfd:restart()
    local list = assert(rpc.call(bpfd, "program.list")).programs
    local seconds <const> = (uv.hrtime() - started) / 1e9
    assert(#list == count, "not all were found again")
    figures:add(("%d programs taken over and listed, with %s"):format(count, with),
      ("%.2f s"):format(seconds), "from the start to the answer",
      ("at most %d s"):format(ADOPTION), seconds <= ADOPTION)
  end
end

return bench_clients
