-- Prints the programs that are started, as execs.o tells of them:
--
--   bpfctl load-from-file -p execs.o -n executed tracepoint -t sched/sched_process_exec
--   lua5.4 examples/execs.lua ID [SECONDS]
--
-- Ends when none has been started for so many seconds; without, Ctrl-C ends it.
local bpf = require "bpf"

local id <const> = math.tointeger(tonumber(arg[1]))
if not id then
  io.stderr:write "usage: lua5.4 execs.lua ID [SECONDS]    (bpfctl list shows the ids)\n"
  os.exit(64)
end

-- The map comes with the types of the program that sends the records.
local bpfd <close> = assert(bpf.client.connect())
local map <close> = assert(bpfd:open_map { program_id = id, name = "events", mode = "rw" })
local ring <close> = assert(map:ring())

for exec in ring:events { type = "exec", timeout = tonumber(arg[2]) } do
  print(("%d %d %s"):format(exec.pid, exec.uid, exec.comm))
  io.stdout:flush()
end
