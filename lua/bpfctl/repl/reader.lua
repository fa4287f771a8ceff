-- Where the lines come from: on a terminal edited, where there is libedit for it, else as they are.

local core = require "bpf.core"
local error_object = require "bpf.error"

local edited = {}
edited.__index = edited

function edited:read(prompt)
  local line <const> = self.editor:read(prompt)
  if line and self.history:add(line) then self.editor:remember(line) end
  return line
end

function edited:__close() self.editor:close() end

local plain = {}
plain.__index = plain

function plain:read(prompt)
  if self.prompts then
    io.stdout:write(prompt)
    io.stdout:flush()
  end
  local line, why = io.read "l"
  if line or not why then return line end
  error(error_object.new { message = "cannot read standard input: " .. why })
end

function plain.__close() end

---@return table reader   read(prompt) -> line, or nil at the end; is_terminal
return function()
  local is_terminal <const> = core.system.is_terminal(0)
  local editor <const> = is_terminal and core.terminal.editor(require "bpfctl.repl.complete")
  if not editor then
    return setmetatable({ is_terminal = is_terminal, prompts = is_terminal }, plain)
  end
  local history <const> = require("bpfctl.repl.history").open()
  for _, line in ipairs(history.lines) do editor:remember(line) end
  return setmetatable({ is_terminal = true, editor = editor, history = history }, edited)
end
