-- One run of bpfctl against one bpfd: connects at the first call, so that what is wrong with the
-- line or with a file is said without a daemon too.

local exit = require "bpfctl.exit"

---@class bpfctl.session
---@field exit integer?   set when bpfd cannot be reached: the code to leave with
local session = {}
local metatable = { __index = session }

---@param options { socket: string?, null: boolean? }  null: results keep their nulls
local function new(options)
  return setmetatable({ options = options }, metatable)
end

function session:connect()
  local client <const> = require "bpf.client"
  local connected, err = client.connect { socket = self.options.socket }
  if connected then
    self.client = connected
    return true
  end
  local refused <const> = err.code == "EACCES" or err.code == "EPERM"
  self.exit = refused and exit.not_permitted or exit.unavailable
  return nil, err
end

-- Asks by a method of the client's; a failure decides the code to leave with.
local function ask(self, method, ...)
  if not self.client then
    local connected, err = self:connect()
    if not connected then return nil, err end
  end
  local result, err, rpc_code = self.client[method](self.client, ...)
  if result ~= nil then return result end
  if err.code == "ECONNRESET" then self.exit = exit.unavailable end
  if err.hook or rpc_code == require("bpf.client").not_permitted then
    self.exit = exit.not_permitted
  end
  return nil, err
end

--- Calls a method of the daemon.
---@return any result
---@return bpf.error?
function session:call(method, params, options)
  options = options or {}
  options.null = self.options.null
  return ask(self, "call", method, params, options)
end

--- A map of a program that bpfd has loaded, by a descriptor of the daemon's.
---@param wanted table  as of client:open_map
---@return bpf.map?
---@return bpf.error?
function session:open_map(wanted) return ask(self, "open_map", wanted) end

function session:close()
  if self.client then self.client:close() end
end

metatable.__close = session.close

return { new = new }
