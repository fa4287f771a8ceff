-- What can be told of bpfd's state while no daemon runs: from its directories alone.

local core = require "bpf.core"
local json = require "bpf.json"

local without_daemon = {}

local RUN_DIR <const>, STATE_DIR <const> = "/run/bpfd", "/var/lib/bpfd" -- bpfd's own defaults

local function count(directory)
  local names <const> = core.system.list(directory)
  return names and #names or 0
end

local function finding(code, subject, text)
  return { code = code, subject = subject, text = text, repair = json.null, state = "left",
    trouble = json.null }
end

local MAGIC <const> = "SQLite format 3\0"

local function look_at_database(path)
  local file <close> = io.open(path, "rb")
  local header <const> = file and file:read(#MAGIC)
  if not header or header == MAGIC then return nil end
  return finding("database.damaged", path,
    "it is no database; the next bpfd sets it aside and writes a new one from the pins")
end

local function look_at_pins(run_dir, programs)
  local fs <const> = run_dir .. "/fs"
  if not core.system.facts(fs) then return nil end
  if require("bpf.pin").is_bpffs(fs) then return nil end
  return finding("mount.gone", fs, ("no BPF file system is mounted there; %d programs are seen")
    :format(programs))
end

--- A report like that of system.doctor.
---@param socket string?  that was tried
---@param err bpf.error   what became of that
---@return { daemon: boolean, programs: integer, chains: integer, findings: table[] }
function without_daemon.examine(socket, err)
  local run_dir <const> = socket and socket:match "^(.*)/[^/]*$" or RUN_DIR
  local programs <const> = count(run_dir .. "/fs/programs")
  local chains <const> = count(run_dir .. "/fs/chains")
  local advice <const> = err.advice and "; " .. err.advice or ""
  local report = { daemon = false, programs = programs, chains = chains, findings = {
    finding("daemon.absent", socket or RUN_DIR .. "/bpfd.sock",
      ("%s%s. %d programs and %d chains are pinned, and run on; a bpfd that starts looks at \z
      them as this command does"):format(tostring(err), advice, programs, chains)),
  } }
  table.insert(report.findings, look_at_pins(run_dir, programs))
  if run_dir == RUN_DIR then
    table.insert(report.findings, look_at_database(STATE_DIR .. "/bpfd.db"))
  end
  return report
end

return without_daemon
