-- Rows under titles, each column as wide as its widest cell; nothing stands behind the last one.

local least <const> = 16 -- columns of a cell that is folded
local gap <const> = "  "

local function width_of(text) return utf8.len(text) or #text end

local function padded(text, width) return text .. (" "):rep(width - width_of(text)) end

local function natural_widths(titles, rows)
  local widths = {}
  for column = 1, #titles do
    widths[column] = width_of(titles[column])
    for _, row in ipairs(rows) do
      widths[column] = math.max(widths[column], width_of(row[column]))
    end
  end
  return widths
end

-- Takes from the widest column that may be folded until the line fits.
local function narrow(widths, titles, folded, most)
  local total = 1 + #gap * (#widths - 1)
  for _, width in ipairs(widths) do total = total + width end
  while total > most do
    local widest
    for _, column in ipairs(folded) do
      local can_give <const> = widths[column] > math.max(least, width_of(titles[column]))
      if can_give and (not widest or widths[column] > widths[widest]) then widest = column end
    end
    if not widest then return end
    widths[widest], total = widths[widest] - 1, total - 1
  end
end

-- The lines of a cell: broken behind a comma, a blank or a slash where there is one.
local function fold(text, width)
  local lines = {}
  while width_of(text) > width do
    local stop <const> = (utf8.offset(text, width + 1) or width + 1) - 1
    local at <const> = text:sub(1, stop):match "^.*[, /]()"
    local keep <const> = at and at > 1 and at - 1 or stop
    lines[#lines + 1] = (text:sub(1, keep):gsub(" +$", ""))
    text = text:sub(keep + 1):gsub("^ +", "")
  end
  lines[#lines + 1] = text
  return lines
end

local function draw_row(row, widths, lines)
  local cells, height = {}, 1
  for column, width in ipairs(widths) do
    cells[column] = fold(row[column], width)
    height = math.max(height, #cells[column])
  end
  for i = 1, height do
    local parts = {}
    for column, width in ipairs(widths) do parts[column] = padded(cells[column][i] or "", width) end
    lines[#lines + 1] = (" " .. table.concat(parts, gap)):gsub(" +$", "") .. "\n"
  end
end

--- With a width and columns that may be folded, those are, so that lines fit; nothing is cut off.
---@param titles string[]
---@param rows string[][]
---@param options { width: integer?, folded: integer[]? }?
---@return string
return function(titles, rows, options)
  local widths <const> = natural_widths(titles, rows)
  if options and options.width and options.folded then
    narrow(widths, titles, options.folded, options.width)
  end
  local lines = {}
  draw_row(titles, widths, lines)
  for _, row in ipairs(rows) do draw_row(row, widths, lines) end
  return table.concat(lines)
end
