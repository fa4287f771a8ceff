-- The order of hooks: by before and after, else by file name and place in the file.

local failure = require "bpf.policy.failure"

local function by_names(hooks)
  local known = {}
  for place, hook in ipairs(hooks) do
    local other <const> = known[hook.name] and hooks[known[hook.name]]
    if other then
      return nil, failure.new("error", ("there is a hook %s already, at %s:%d; rename one of them")
        :format(hook.name, other.file, other.line), hook.file, hook.line)
    end
    known[hook.name] = place
  end
  return known
end

-- earlier[place]: the places that come before it. Names of hooks that are not there order nothing.
local function constraints(hooks, known)
  local earlier = {}
  for place in ipairs(hooks) do earlier[place] = {} end
  for place, hook in ipairs(hooks) do
    for _, name in ipairs(hook.after) do
      if known[name] then earlier[place][known[name]] = true end
    end
    for _, name in ipairs(hook.before) do
      if known[name] then earlier[known[name]][place] = true end
    end
  end
  return earlier
end

-- Those that wait for each other: from any that is left, back until one comes again.
local function cycle(hooks, earlier, left)
  local path, seen, place = {}, {}, next(left)
  while not seen[place] do
    seen[place] = #path + 1
    path[#path + 1] = place
    for other in pairs(earlier[place]) do
      if left[other] then
        place = other
        break
      end
    end
  end
  local names, first = {}, nil
  for at = #path, seen[place], -1 do
    local hook = hooks[path[at]]
    names[#names + 1] = hook.name
    first = first or hook
  end
  names[#names + 1] = names[1]
  return failure.new("error", ("hooks wait for each other: %s; take out one before or after")
    :format(table.concat(names, " before ")), first.file, first.line)
end

local function is_free(place, earlier, left)
  for other in pairs(earlier[place]) do
    if left[other] then return false end
  end
  return true
end

--- All in the order in which they run.
---@param hooks bpf.policy.hook[]
---@return bpf.policy.hook[]?, bpf.error? err
return function(hooks)
  local known, err = by_names(hooks)
  if not known then return nil, err end
  local earlier = constraints(hooks, known)
  local left, ordered = {}, {}
  for place in ipairs(hooks) do left[place] = true end
  while next(left) do
    local chosen
    for place in ipairs(hooks) do
      if left[place] and is_free(place, earlier, left) then
        chosen = place
        break
      end
    end
    if not chosen then return nil, cycle(hooks, earlier, left) end
    left[chosen] = nil
    ordered[#ordered + 1] = hooks[chosen]
  end
  return ordered
end
