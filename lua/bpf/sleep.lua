-- Waits, without keeping a deadline or Ctrl-C from ending the wait.

local core = require "bpf.core"

---@param seconds number
return function(seconds) core.interrupt.sleep(seconds) end
