-- bpfd: from the command line to the loop and out of it.

local core = require "bpf.core"
local config = require "bpfd.config"
local log = require "bpfd.log"
local options = require "bpfd.options"

local OK <const>, FAILED <const>, USAGE <const> = 0, 1, 64

local function complain(format, ...)
  core.system.write(2, "bpfd: " .. format:format(...) .. "\n")
end

-- What an error says, and on further lines what to do and what others said.
local function explain(err)
  local lines = { tostring(err) }
  if err.advice then lines[#lines + 1] = err.advice end
  return table.concat(lines, "; ")
end

local function serve(arguments)
  local run_dir <const> = arguments.run_dir or "/run/bpfd"
  local state_dir <const> = arguments.state_dir or "/var/lib/bpfd"
  local settings, err = config.load(arguments.config, run_dir)
  if not settings then
    complain("%s", explain(err))
    return FAILED
  end
  log.set_level(arguments.log_level or settings.log_level)
  local daemon
  daemon, err = require("bpfd.daemon").start {
    config = settings, config_path = arguments.config or config.default_path,
    run_dir = run_dir, state_dir = state_dir,
  }
  if not daemon then
    complain("%s", explain(err))
    return FAILED
  end
  local good
  good, err = daemon:run()
  if good then return OK end
  if err then complain("%s", explain(err)) end
  return FAILED
end

return function(argv)
  local arguments, complaint = options.parse(argv)
  if not arguments then
    complain("%s", complaint)
    core.system.write(2, "try 'bpfd --help'\n")
    return USAGE
  elseif arguments.show == "help" then
    core.system.write(1, options.page)
    return OK
  elseif arguments.show == "version" then
    core.system.write(1, ("bpfd %s\n"):format(core.system.version))
    return OK
  end
  return serve(arguments)
end
