-- The table of `chain list`: a row for each member.

local columns <const> = require "bpfctl.format.columns"
local printable = require "bpfctl.printable"

local titles <const> = {
  "Iface", "Hook", "Engine", "Position", "Program ID", "Priority", "Owner", "Proceed On",
}

local function rows_of(chain, rows)
  local attach <const> = chain.attach
  local hook <const> = attach.direction and attach.type .. " " .. attach.direction or attach.type
  local iface = printable(attach.iface or tostring(attach.ifindex))
  if attach.netns then iface = ("%s (%s)"):format(iface, printable(attach.netns)) end
  for _, member in ipairs(chain.members) do
    rows[#rows + 1] = { iface, hook, chain.engine, tostring(member.position),
      member.id and tostring(member.id) or "None", tostring(member.priority),
      member.managed and "bpfd" or printable(member.owner or "None"),
      table.concat(member.proceed_on, ", ") }
  end
end

---@param chains table[]  as chain.list gives them
---@return string
return function(chains)
  local rows = {}
  for _, chain in ipairs(chains) do rows_of(chain, rows) end
  return columns(titles, rows)
end
