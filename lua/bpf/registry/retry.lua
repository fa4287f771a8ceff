-- When a request that was answered is worth being sent once more.

local FIRST_WAIT <const> = 0.2 -- seconds; doubled each time
local LONGEST_WAIT <const> = 10 -- that a registry may ask for

local months <const> = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8,
  Sep = 9, Oct = 10, Nov = 11, Dec = 12 }

-- Retry-After: seconds, or a date.
local function seconds_asked_for(text)
  local seconds <const> = tonumber(text:match "^%d+$")
  if seconds then return seconds end
  local day, month, year, hour, minute, second =
    text:match "^%a+, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$"
  if not months[month] then return nil end
  local now <const> = os.time()
  local offset <const> = os.time(os.date("!*t", now)) - now
  local at <const> = os.time { day = day, month = months[month], year = year, hour = hour,
    min = minute, sec = second, isdst = false } - offset
  return math.max(0, at - now)
end

local retried <const> = { [429] = true, [500] = true, [502] = true, [503] = true, [504] = true }

local retry = {}

--- The seconds that a server asks to be left alone for.
---@param answer bpf.registry.answer
---@return number?
function retry.asked(answer)
  if answer.status ~= 429 and answer.status ~= 503 then return nil end
  local value <const> = answer.header "retry-after"
  return value and seconds_asked_for(value)
end

--- How long to wait before the request is sent once more.
---@param answer bpf.registry.answer
---@param attempt integer  how often it has been sent
---@return number? seconds  nil where that is no use, or takes too long
function retry.pause(answer, attempt)
  if not retried[answer.status] then return nil end
  local seconds <const> = retry.asked(answer) or FIRST_WAIT * 2 ^ (attempt - 1)
  return seconds <= LONGEST_WAIT and seconds or nil
end

return retry
