-- bpfd.lua: the daemon's configuration.

local check = require "fuzz.check"
local config = require "bpfd.config"
local sandbox = require "bpf.sandbox"
local system = require("bpf.core").system

system.limit_data = function() return nil end -- as in fuzz/apply.lua

return function(text)
  local value, err = sandbox.run_text(text, "fuzz", { instructions = 100000 })
  if err then return check.refusal(err) end
  local checked <const> = check.result(config.check(value, "/run/bpfd"))
  if not checked then return end
  for _, listener in ipairs(checked.listen) do assert(listener.path:sub(1, 1) == "/") end
  local settings <const> = checked:interface "eth0"
  assert(settings.engine and settings.dispatcher_version)
  check.result(require("bpf.image.signature_rules").new(checked.signatures))
end
