-- bpfd's command line.

local nearest = require "bpf.nearest"

local options = {}

local page <const> = [[
A manager of eBPF programs

Usage: bpfd [OPTIONS]
------

Options:
--------
      --config <PATH>
          Optional: Configuration, a Lua file that returns a table. policy.d,
          programs.d and formats.d lie beside it.

          [default: /etc/bpfd/bpfd.lua]

      --run-dir <PATH>
          Optional: Directory of the socket and of what runs: bpfd's own bpffs is
          mounted at fs in it.

          [default: /run/bpfd]

      --state-dir <PATH>
          Optional: Directory of what survives a reboot.

          [default: /var/lib/bpfd]

      --log-level <LEVEL>
          Optional: How much is logged; overrides log_level of the configuration.

          [possible values: error, warning, info, debug]

          [default: info]

  -h, --help
          Print help

  -V, --version
          Print version
]]

options.page = page

local valued <const> = {
  ["--config"] = "config", ["--run-dir"] = "run_dir", ["--state-dir"] = "state_dir",
  ["--log-level"] = "log_level",
}
local names <const> = {
  "--config", "--run-dir", "--state-dir", "--log-level", "--help", "--version", "-h", "-V",
}
local levels <const> = { "error", "warning", "info", "debug" }

local function check_value(name, value)
  if name == "--log-level" then
    for _, level in ipairs(levels) do
      if level == value then return true end
    end
    return nil, ("there is no log level %q; did you mean %s?"):format(value, nearest(value, levels))
  end
  if value == "" then return nil, name .. " needs a path" end
  return true
end

local function unknown(argument)
  if argument:sub(1, 1) ~= "-" then
    return ("bpfd takes no arguments, only options; %q is none"):format(argument)
  end
  return ("there is no option %s; did you mean %s?"):format(argument, nearest(argument, names))
end

--- What was asked for: `show` is "help" or "version" where that is all.
---@param argv string[]
---@return { config: string?, run_dir: string?, state_dir: string?, log_level: string?,
---  show: string? }? options, string? complaint
function options.parse(argv)
  local parsed, at = {}, 1
  while argv[at] do
    local argument = argv[at]
    local name, value = argument:match "^(%-%-[^=]+)=(.*)$"
    name = name or argument
    if name == "help" or name == "-h" or name == "--help" then return { show = "help" } end
    if name == "-V" or name == "--version" then return { show = "version" } end
    local key = valued[name]
    if not key then return nil, unknown(name) end
    if not value then
      at = at + 1
      value = argv[at]
    end
    if not value then return nil, name .. " needs a value" end
    if parsed[key] then return nil, name .. " is given twice" end
    local good, complaint = check_value(name, value)
    if not good then return nil, complaint end
    parsed[key] = value
    at = at + 1
  end
  return parsed
end

return options
