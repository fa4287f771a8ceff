-- Writes a man page from what the help pages are made of: man.lua bpfctl|bpfd VERSION
local name, version = arg[1], arg[2]

local function escaped(text)
  text = text:gsub("\\", "\\e"):gsub("-", "\\-")
  return (text:gsub("\n([.'])", "\n\\&%1"):gsub("^[.']", "\\&%0"))
end

local function out(...) io.write(...) end

local function title(section, summary)
  out((".TH %s %d \"\" \"bpfd %s\" \"\"\n"):format(name:upper(), section, version))
  out(".SH NAME\n", escaped(name), " \\- ", escaped(summary), "\n")
end

local function as_it_stands(text) out(".nf\n", escaped(text), ".fi\n") end

local function bpfctl()
  local help <const> = require "bpfctl.help"
  local options <const> = require "bpfctl.options"
  local root <const> = require "bpfctl.root"
  local values_of <const> = require "bpfctl.values"

  local function described(left, item)
    out(".TP\n", left, "\n", escaped(item.text), "\n")
    if item.values then
      out(".br\nPossible values: ", escaped(table.concat(item.values, ", ")), "\n")
    end
    local default = item.default
    if type(default) == "table" then default = table.concat(default, ", ") end
    if default ~= nil and item.kind ~= "flag" and default ~= "" then
      out(".br\nDefault: ", escaped(tostring(default)), "\n")
    end
  end

  local function option_item(option)
    local left = option.short and ("\\fB\\-%s\\fR, "):format(option.short) or ""
    left = left .. ("\\fB%s\\fR"):format(escaped(values_of.long(option)))
    if option.kind ~= "flag" then
      left = left .. (" \\fI%s\\fR"):format(escaped(values_of.metavar(option)))
    end
    described(left, option)
  end

  local function command_part(level)
    local command <const> = level.command
    out(".SS ", escaped(help.usage(level)), "\n", escaped(command.summary), ".\n")
    for _, operand in ipairs(command.operands or {}) do
      described(("\\fI%s\\fR"):format(escaped(values_of.metavar(operand))), operand)
    end
    for _, option in ipairs(command.options) do option_item(option) end
    for _, each in ipairs(command.commands or {}) do
      command_part { command = command.find(each), above = level }
    end
  end

  title(1, "load, list and unload eBPF programs through bpfd")
  out ".SH SYNOPSIS\n.B bpfctl\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR ...\n"
  out ".SH OPTIONS\nThese are taken anywhere on the line.\n"
  for _, option in ipairs(options.common) do option_item(option) end
  out ".SH COMMANDS\n"
  local top <const> = { command = root }
  for _, each in ipairs(root.commands) do
    command_part { command = root.find(each), above = top }
  end
  out [[
.SH EXIT STATUS
0; 64 a line that is not understood; 69 no bpfd; 77 not allowed; 130 ended by Ctrl\-C; 1 otherwise.
.SH ENVIRONMENT
BPFD_SOCKET, BPFD_CONFIG_DIR, XDG_CONFIG_HOME, XDG_STATE_HOME, NO_COLOR, TZ.
.SH FILES
.TP
~/.config/bpfctl/commands, /etc/bpfd/commands.d
Lua files that are commands.
.TP
~/.config/bpfctl/formats, /etc/bpfd/formats.d
Lua files that are formats.
.SH SEE ALSO
.BR bpfd (8)
]]
end

local function bpfd()
  local page <const> = require("bpfd.options").page
  title(8, "a manager of eBPF programs")
  out ".SH SYNOPSIS\n.B bpfd\n[\\fIOPTIONS\\fR]\n.SH OPTIONS\n"
  as_it_stands(page:match "Options:\n%-+\n(.*)$")
  out [[
.SH DESCRIPTION
Loads programs for
.BR bpfctl (1)
and other clients of its socket, runs several of them on one XDP or TC hook, pins and shares
their maps. What it has loaded goes on when it ends; the next one takes it over.
.SH SIGNALS
TERM and INT end it; HUP reads the policies again.
.SH FILES
/etc/bpfd/bpfd.lua, /run/bpfd/bpfd.sock, /run/bpfd/fs, /var/lib/bpfd
.SH SEE ALSO
.BR bpfctl (1)
]]
end

({ bpfctl = bpfctl, bpfd = bpfd })[name]()
