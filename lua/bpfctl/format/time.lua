-- Times of the wire in the user's time zone.

-- Days from 1970-01-01 to a date of the Gregorian calendar.
local function days_to(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day
    - 719469
end

--- RFC 3339 in UTC to the form of `list`; nil for what is no such time.
---@param text string
---@return string?
return function(text)
  local year, month, day, hour, minute, second =
    text:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)[Tt](%d%d):(%d%d):(%d%d)%.?%d*[Zz]$"
  if not year then return nil end
  local days <const> = days_to(tonumber(year), tonumber(month), tonumber(day))
  local epoch <const> = ((days * 24 + hour) * 60 + minute) * 60 + second
  return os.date("%Y-%m-%dT%H:%M:%S%z", math.tointeger(epoch))
end
