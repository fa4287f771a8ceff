-- Plain values as messages on a stream, between processes of ours: cheaper than JSON, and exact.

local sandbox = require("bpf.core").sandbox

local frame = {}

--- A message as it is sent: packed values with their length before them.
---@param value any  nil, booleans, numbers, texts, and tables of these
---@return string
function frame.of(value)
  return string.pack("<s4", sandbox.pack(value))
end

--- The first message of what has been received, and what follows it; no message while it is not
--- whole.
---@param bytes string
---@return any message, string rest
function frame.take(bytes)
  if #bytes < 4 or #bytes < 4 + string.unpack("<I4", bytes) then return nil, bytes end
  local packed, at = string.unpack("<s4", bytes)
  return sandbox.unpack(packed), bytes:sub(at)
end

--- Sends all of it, waiting where the socket has no room.
---@param socket table  bpf.core.socket
---@return true? ok, bpf.error? err
function frame.send(socket, value)
  local bytes <const> = frame.of(value)
  local at = 1
  while at <= #bytes do
    local sent, err = socket:send(bytes, nil, at)
    if sent then
      at = at + sent
    elseif err.code ~= "EAGAIN" then
      return nil, err
    else
      sent, err = socket:wait "w"
      if not sent then return nil, err end
    end
  end
  return true
end

--- The next message; waits for it. Nil at the end of the stream.
---@param socket table  bpf.core.socket
---@param unread string  what has been received and not taken
---@return any message, string unread
function frame.receive(socket, unread)
  while true do
    local message, rest = frame.take(unread)
    if message ~= nil then return message, rest end
    if not socket:wait "r" then return nil, rest end
    local bytes, err = socket:receive()
    if bytes == "" or not bytes and err.code ~= "EAGAIN" then return nil, rest end
    unread = rest .. (bytes or "")
  end
end

return frame
