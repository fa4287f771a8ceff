-- Sections with labels, as `get` and `image inspect` print them.

local printable = require "bpfctl.printable"

local section = {}

local none <const> = "None"

--- One value as text.
function section.shown(value)
  if value == nil or value == "" then return none end
  if math.type(value) == "float" and math.tointeger(value) then value = math.tointeger(value) end
  return printable(tostring(value))
end

local function width_of(text) return utf8.len(text) or #text end

local function padded(text, width) return text .. (" "):rep(width - width_of(text)) end

-- Rows are { label, line, line ... }.
---@return table rows, fun(label: string, value: any) add
function section.new_rows()
  local rows = {}
  return rows, function(label, value)
    if type(value) == "table" then
      rows[#rows + 1] = #value > 0 and { label, table.unpack(value) } or { label, none }
    else
      rows[#rows + 1] = { label, section.shown(value) }
    end
  end
end

---@param style { bold: boolean? }
function section.title(title, style)
  return style.bold and (" \27[1m%s\27[0m\n"):format(title) or (" %s\n"):format(title)
end

--- A section with its title, dashes and rows.
function section.draw(title, rows, style)
  local width = 0
  for _, row in ipairs(rows) do width = math.max(width, #row[1]) end
  local lines = { section.title(title, style), ("-"):rep(width + 2), "\n" }
  for _, row in ipairs(rows) do
    for i = 2, #row do
      lines[#lines + 1] = (" %s  %s\n"):format(padded(i == 2 and row[1] or "", width), row[i])
    end
  end
  return table.concat(lines)
end

return section
