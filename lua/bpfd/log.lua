-- The daemon's log: lines on stderr, with the journal's priorities where stderr is the journal.

local system = require("bpf.core").system

local log = {}

-- "audit" is no threshold that can be set: its lines are always written.
local priorities <const> = { error = 3, warning = 4, audit = 5, info = 6, debug = 7 }
log.levels = { "error", "warning", "info", "debug" }

local LONGEST <const> = 4096 -- bytes of a line: some are a client's own words, of any size

local threshold = priorities.info

-- systemd names the stream that it has given us, so that a shell's redirection is not taken for it.
local function is_journal()
  local facts = system.facts(2)
  return facts and os.getenv "JOURNAL_STREAM" == ("%d:%d"):format(facts.device, facts.inode)
end

local to_journal <const> = is_journal()

---@param level "error"|"warning"|"info"|"debug"
function log.set_level(level)
  threshold = assert(priorities[level], "no such level")
end

--- Whether lines of this level are written.
---@param level "error"|"warning"|"audit"|"info"|"debug"
---@return boolean
function log.is_written(level)
  return level == "audit" or priorities[level] <= threshold
end

local function write(level, format, ...)
  if not log.is_written(level) then return end
  local priority = priorities[level]
  local text = select("#", ...) > 0 and format:format(...) or format
  local prefix = to_journal and ("<%d>%s"):format(priority, level == "audit" and "audit: " or "")
    or ("bpfd: %s: "):format(level)
  -- One line of the log is one event, whatever an error's text contains.
  text = text:gsub("[%c]+", " ")
  if #text > LONGEST then text = text:sub(1, LONGEST) .. " [...]" end
  system.write(2, prefix .. text .. "\n")
end

for level in pairs(priorities) do
  log[level] = function(format, ...) write(level, format, ...) end
end

return log
