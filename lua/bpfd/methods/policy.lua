-- policy.list, reload, test and events.

local error_object = require "bpf.error"
local check_event = require("bpf.policy").check_event
local json = require "bpf.json"

local policy = {}

local MOST_EVENTS <const> = 256 -- of one dry run

local function refusal(message, advice)
  return nil, error_object.new { code = "EINVAL", message = message, advice = advice }
end

-- What the kernel counts of the process that policies run in; pages that it shares with the daemon
-- it was forked from are in `rss` and not in `private`.
local function size_of(pid)
  local file <close> = io.open(("/proc/%d/smaps_rollup"):format(pid))
  local text <const> = file and file:read "a" or ""
  local function bytes(field)
    return (tonumber(text:match(field .. ":%s+(%d+) kB")) or 0) * 1024
  end
  return { rss = bytes "Rss", private = bytes "Private_Clean" + bytes "Private_Dirty" }
end

local function process_of(daemon)
  local process <const> = daemon.policy.process
  if not process or process.is_over then return json.null end
  local size <const> = size_of(process.pid)
  return { pid = process.pid, rss = size.rss, private = size.private }
end

policy["policy.list"] = {
  parameters = {},
  run = function(daemon)
    local memory <const> = daemon.policy:memory()
    local files, hooks = {}, {}
    for place, source in ipairs(daemon.policy.sources) do
      files[place] = { path = source.path, memory = memory[source.path] or json.null }
    end
    for place, hook in ipairs(daemon.policy.hooks) do
      hooks[place] = { name = hook.name, on = hook.on, before = hook.before, after = hook.after,
        file = hook.file, line = hook.line }
    end
    return { directory = daemon.policy.directory, files = files, hooks = hooks,
      in_force = daemon.policy.broken == nil, problem = daemon.policy.problem or json.null,
      process = process_of(daemon) }
  end,
}

policy["policy.reload"] = {
  parameters = {},
  run = function(daemon)
    local good, err = daemon.policy:reload()
    if not good then return nil, err:because "reloading the policies" end
    return { hooks = #daemon.policy.hooks }
  end,
}

policy["policy.test"] = {
  parameters = { events = true },
  run = function(daemon, request)
    local list <const> = request.params.events
    if type(list) ~= "table" or #list == 0 then return refusal "events must be a list of events" end
    if #list > MOST_EVENTS then
      return refusal(("more than %d events at once"):format(MOST_EVENTS))
    end
    for place, event in ipairs(list) do
      local good, err = check_event(event)
      if not good then return nil, err:because(("event %d"):format(place)) end
    end
    local outcomes, err = daemon.policy:try(list)
    if not outcomes then return nil, err:because "testing the policies" end
    for place, outcome in ipairs(outcomes) do
      outcomes[place] = { on = list[place].on, decisions = outcome.decisions,
        amended = outcome.amended }
    end
    return { outcomes = outcomes }
  end,
}

-- Tables that are objects also when there is nothing in them.
local function as_objects(event)
  local object <const> = event.object or {}
  for _, part in pairs { event.metadata or false, event.global or false, object.programs or false,
    object.maps or false } do
    if part then json.object(part) end
  end
  return event
end

policy["policy.events"] = {
  parameters = {},
  run = function(daemon)
    local list <const> = daemon.policy:events()
    for _, event in ipairs(list) do as_objects(event) end
    return { events = list }
  end,
}

return policy
