-- What a text may look like on standard output: NO_COLOR and TERM=dumb want it plain.

local core = require "bpf.core"

---@return bpfctl.style
return function()
  local is_terminal <const> = core.system.is_terminal(1)
  local no_color <const> = os.getenv "NO_COLOR"
  local color <const> = is_terminal and (not no_color or no_color == "")
    and os.getenv "TERM" ~= "dumb"
  local width = is_terminal and core.terminal.width(1) or nil
  return { color = color, bold = color, width = width }
end
