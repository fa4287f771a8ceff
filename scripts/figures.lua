-- The table that benches print: what was measured, what it was taken from, and whether it met its
-- aim.
local uv = require "luv"

local figures = {}
figures.__index = figures

---@return table figures  empty
function figures.new() return setmetatable({ rows = {} }, figures) end

---One line of the table; `met` is left out where there is no aim.
---@param what string
---@param figure string
---@param taken_from? string
---@param aim? string
---@param met? boolean
function figures:add(what, figure, taken_from, aim, met)
  local verdict = met and "met" or "MISSED"
  self.rows[#self.rows + 1] = { what, figure, taken_from or "", aim or "",
    met == nil and "" or verdict }
end

---Two lists of seconds, of tools that took turns, as the ratio of their medians.
---@param most number  the aim
function figures:add_ratio(what, ours, theirs, most)
  local a, b = figures.median(ours) * 1000, figures.median(theirs) * 1000
  self:add(what, ("%.2f times"):format(a / b), ("%.1f ms for %.1f ms"):format(a, b),
    ("at most %s times"):format(most), a / b <= most)
end

---@param values number[]  sorted by this
---@return number
function figures.median(values)
  table.sort(values)
  return (values[#values // 2 + 1] + values[(#values + 1) // 2]) / 2
end

---In Markdown.
function figures:print()
  local rows = { { "what", "figure", "taken from", "aim", "" }, table.unpack(self.rows) }
  local widths = { 0, 0, 0, 0, 0 }
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i], utf8.len(cell)) end
  end
  for i, row in ipairs(rows) do
    local line = {}
    for column, cell in ipairs(row) do
      line[column] = cell .. (" "):rep(widths[column] - utf8.len(cell))
    end
    print("| " .. table.concat(line, " | ") .. " |")
    if i == 1 then
      for column, width in ipairs(widths) do line[column] = ("-"):rep(width) end
      print("| " .. table.concat(line, " | ") .. " |")
    end
  end
end

---Kernel and processor, for the line below the table.
---@return string
function figures.machine()
  local name = uv.os_uname()
  return ("%s %s, %d cores, %s"):format(name.sysname, name.release, #uv.cpu_info(),
    uv.cpu_info()[1].model)
end

return figures
