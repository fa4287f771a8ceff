-- Apply files: run in the sandbox, and checked as a daemon checks what a client sends of them.

local check = require "fuzz.check"
local declaration = require "bpf.declaration"
local json = require "bpf.json"
local system = require("bpf.core").system

-- The limit is of a process's data; the memory of this state has one already, and room of the
-- sanitizers' would count.
system.limit_data = function() return nil end

return function(text)
  local programs <const> = check.result(declaration.read(text, "fuzz"))
  if not programs then return end
  local sent <const> = json.decode(json.encode(programs))
  for _, program in ipairs(sent) do
    if program.path then program.path, program.fd = nil, 0 end
  end
  assert(declaration.check("fuzz", sent, { wire = true }))
end
