-- What is found to be otherwise than bpfd has left it, and mended at once where that is wanted.

---@class bpfd.finding
---@field code string      NOUN.STATE, as docs/doctor.md lists them
---@field subject string   what it is about
---@field text string      what is wrong with it
---@field repair string?   what mends it, or has; nil where only a person can
---@field state "found"|"repaired"|"left"
---@field trouble string?  why it is left although it could be mended
---@field action table?    what the daemon has to do for it: `kind`, `hook` and `ids`

---@class bpfd.findings
---@field mends boolean
---@field list bpfd.finding[]
local findings = {}
findings.__index = findings

---@param mends boolean?  whether what can be mended is
---@return bpfd.findings
function findings.new(mends)
  return setmetatable({ mends = mends == true, list = {} }, findings)
end

--- Tells of one, and mends it.
---@param finding table  code, subject, text, repair, action
---@param mend (fun(): any, bpf.error?)?  mends it here and now
function findings:add(finding, mend)
  finding.state = "found"
  table.insert(self.list, finding)
  if not self.mends then return end
  if mend then
    self.settle(finding, mend())
  elseif not finding.action then
    finding.state = "left"
  end
end

--- What came of mending one.
---@param finding bpfd.finding
---@param good any
---@param err bpf.error?
function findings.settle(finding, good, err)
  finding.state = good and "repaired" or "left"
  finding.trouble = not good and tostring(err) or nil
end

return findings
