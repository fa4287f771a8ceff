-- Sends numbered UDP packets: lua5.4 send_packets.lua ADDRESS PORT COUNT. With COUNT 0 it sends
-- some 20,000 a second until SIGTERM, with -1 as many as it can, and first prints that it does.
-- Prints how many it has sent.
local uv = require "luv"

local address, port, wanted = arg[1], tonumber(arg[2]), tonumber(arg[3])
local socket, sent = uv.new_udp(), 0

local function send(count)
  while count > 0 do
    if uv.udp_try_send(socket, ("%08x bpfd spec packet"):format(sent), address, port) then
      sent, count = sent + 1, count - 1
    else
      uv.sleep(1) -- the interface's queue is full
    end
  end
end

local function finish()
  io.stdout:write(sent, "\n")
  io.stdout:flush()
  os.exit(0)
end

if wanted > 0 then
  send(wanted)
  finish()
end
local stop, timer = uv.new_signal(), uv.new_timer()
stop:start("sigterm", finish)
io.stdout:write "sending\n" -- and from now on SIGTERM is waited for
io.stdout:flush()
if wanted < 0 then
  local burst = uv.new_idle()
  burst:start(function()
    send(100)
    if uv.os_getppid() == 1 then os.exit(1) end
  end)
  uv.run()
end
timer:start(0, 1, function()
  if uv.os_getppid() == 1 then os.exit(1) end -- whoever wanted the packets is gone
  send(20)
end)
uv.run()
