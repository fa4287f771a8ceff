-- A session in the test VM: a script whose steps print one line `NAME: what was seen` each.
local uv = require "luv"
local process = require "spec.support.process"

local machine = {}
machine.__index = machine

local kernel <const> = os.getenv "KERNEL" or "6.1"

---Runs it to its end.
---@param script string
---@param options { seconds: integer, env: table?, reboots: boolean? }  reboots: on a disk that
---  stays, the script run again after each
---@return table session  seen: by name, what was printed first; text: all of it
function machine.run(script, options)
  local env = { VM_TIMEOUT = tostring(options.seconds) }
  for name, value in pairs(options.env or {}) do env[name] = value end
  local disk <const> = options.reboots and ("/tmp/bpfd-spec-%d-disk"):format(uv.os_getpid())
  env.VM_DISK = disk or nil
  local result <const> = process.run({ "scripts/vm/run.sh", kernel, script },
    { env = env, seconds = options.seconds + 100 })
  if disk then os.remove(disk) end
  local self = setmetatable({ seen = {}, text = result.stdout .. result.stderr }, machine)
  for name, value in result.stdout:gmatch "%f[^\n\0]([%w_]+): ([^\n]*)" do
    self.seen[name] = self.seen[name] or value
  end
  return self
end

---@param name string
---@param expected string
function machine:check(name, expected)
  assert(self.seen[name] == expected, ("%s is %s and not %s in\n%s"):format(name,
    tostring(self.seen[name]), expected, self.text))
end

return machine
