-- What the doctor has found, and in one line what that comes to.

local columns_of = require "bpfctl.format.columns"
local json = require "bpf.json"
local printable = require "bpfctl.printable"

local titles <const> = { "State", "Code", "Subject", "Finding" }

local function is_absent(value) return value == nil or value == json.null end

local function finding_text(finding)
  local parts = { finding.text }
  if not is_absent(finding.trouble) then
    parts[2] = "it could not be mended: " .. finding.trouble
  elseif not is_absent(finding.repair) then
    parts[2] = (finding.state == "repaired" and "repaired: " or "--repair would: ")
      .. finding.repair
  end
  return printable(table.concat(parts, "; "))
end

local states <const> = { "found", "repaired", "left" }

local function summary(report)
  local counts, words = {}, {}
  for _, finding in ipairs(report.findings) do
    counts[finding.state] = (counts[finding.state] or 0) + 1
  end
  for _, state in ipairs(states) do
    if counts[state] then words[#words + 1] = ("%d %s"):format(counts[state], state) end
  end
  return table.concat(words, ", ") .. "\n"
end

---@param report { daemon: boolean, programs: integer, chains: integer, findings: table[] }
---@param style bpfctl.style
---@return string
return function(report, style)
  if #report.findings == 0 then
    return ("nothing is wrong (programs: %d, chains: %d)\n"):format(report.programs, report.chains)
  end
  local rows = {}
  for i, finding in ipairs(report.findings) do
    rows[i] = { finding.state, finding.code, printable(finding.subject), finding_text(finding) }
  end
  return columns_of(titles, rows, { width = style.width, folded = { 4, 3 } }) .. summary(report)
end
