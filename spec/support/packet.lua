-- Packets for BPF_PROG_TEST_RUN.
local packet = {}

---An Ethernet frame with an IPv4 UDP packet from 10.0.0.`source` to `port`.
---@return string
function packet.udp(port, source)
  local body = ("x"):rep(32)
  local udp = string.pack(">I2I2I2I2", 40000, port, 8 + #body, 0) .. body
  local ip = string.pack(">BBI2I2I2BBI2BBBBBBBB", 0x45, 0, 20 + #udp, 0, 0, 64, 17, 0,
    10, 0, 0, source or 2, 10, 0, 0, 1)
  return ("\2"):rep(12) .. "\8\0" .. ip .. udp
end

return packet
