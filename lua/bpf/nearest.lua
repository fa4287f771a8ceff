-- The known name that a wrong one probably meant.

local LONGEST <const> = 64 -- bytes of a word that are looked at: a stranger may send any number

-- Edits (a changed, missing, extra or swapped letter) that lead from one word to the other.
local function distance(a, b)
  local before, previous = {}, {}
  for j = 0, #b do previous[j] = j end
  for i = 1, #a do
    local current = { [0] = i }
    for j = 1, #b do
      local change = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + change)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, before[j - 2] + 1)
      end
      current[j] = best
    end
    before, previous = previous, current
  end
  return previous[#b]
end

--- The nearest of the names; of equally near ones the first. Nil only without any.
---@param name string
---@param names string[]
---@return string?
return function(name, names)
  local wanted <const> = name:sub(1, LONGEST):lower():gsub("_", "-")
  local best, fewest
  for _, candidate in ipairs(names) do
    local edits = distance(wanted, (candidate:lower():gsub("_", "-")))
    if not fewest or edits < fewest then best, fewest = candidate, edits end
  end
  return best
end
