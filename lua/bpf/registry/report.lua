-- How far a blob is, told to whoever asks, but not for every packet.

local system = require("bpf.core").system

local BETWEEN <const> = 100000000 -- nanoseconds

---@param progress (fun(done: integer, total: integer))?
---@param size integer
---@return (fun(done: integer))?
return function(progress, size)
  if not progress then return nil end
  local last, before = 0, nil
  return function(done)
    done = math.min(done, size)
    local now <const> = system.clock "monotonic"
    if done == before or done < size and now - last < BETWEEN then return end
    last, before = now, done
    progress(done, size)
  end
end
