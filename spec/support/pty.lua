-- A program on a terminal of its own, as a person would use it: script(1) makes the terminal.
local uv = require "luv"
local process = require "spec.support.process"

local pty = {}
pty.__index = pty

---The shell becomes the command: dash, which waits for it, would tell of a Ctrl-C that was the
---command's to handle (script(1) takes the shell from $SHELL).
---@param command string    one, for the shell
---@param env? table
function pty.start(command, env)
  local self = setmetatable({ text = "", at = 1 }, pty)
  local merged, list = uv.os_environ(), {}
  for name, value in pairs(env or {}) do merged[name] = value or nil end
  for name, value in pairs(merged) do list[#list + 1] = name .. "=" .. value end
  self.input, self.output = uv.new_pipe(), uv.new_pipe()
  self.child = assert(uv.spawn("/usr/bin/script", {
    args = { "-qfec", "exec " .. command, "/dev/null" }, env = list,
    stdio = { self.input, self.output },
  }, function(code) self.status = code end))
  self.output:read_start(function(_, chunk) self.text = self.text .. (chunk or "") end)
  return self
end

---Types; "\3" is Ctrl-C, "\4" Ctrl-D, "\9" Tab.
function pty:type(text) self.input:write(text) end

---Waits for a plain text behind what was waited for before; returns all up to its end.
function pty:wait_for(text)
  local found = process.eventually(function()
    uv.run "nowait"
    local _, stop = self.text:find(text, self.at, true)
    return stop
  end, 20000)
  if not found then
    error(("there is no %q in %q"):format(text, self.text:sub(self.at)), 2)
  end
  local passed = self.text:sub(self.at, found)
  self.at = found + 1
  return passed
end

---Waits for the program's end; returns its exit status.
function pty:wait()
  process.eventually(function()
    uv.run "nowait"
    return self.status
  end, 20000)
  return self.status
end

---Types Ctrl-D until the program has ended: one that comes while the terminal changes its mode,
---right before the first key of a line is read, is lost.
function pty:leave()
  for _ = 1, 20 do
    if self.status then break end
    self:type "\4"
    process.eventually(function()
      uv.run "nowait"
      return self.status
    end, 1000)
  end
  if not self.status then error(("it does not end: %q"):format(self.text), 2) end
  return self.status
end

function pty:close()
  if not self.status then self.child:kill "sigkill" end
  for _, handle in ipairs { self.input, self.output, self.child } do handle:close() end
  uv.run "nowait"
end

pty.__close = pty.close

return pty
