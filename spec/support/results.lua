-- A busted output handler that tells spec/run.lua what happened.
local pretty = require "pl.pretty"
local results_form = require "spec.support.results_form"

local file = assert(io.open(assert(os.getenv "SPEC_RESULTS", "spec/run.lua starts this"), "a"))

local function describe(message)
  if message == nil or type(message) == "string" then return message or "" end
  local meta = getmetatable(message)
  return meta and meta.__tostring and tostring(message) or pretty.write(message)
end

local function tell(status, name, message)
  file:write(results_form.line { status = status, name = name, message = describe(message) })
  file:flush()
end

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local told = setmetatable({}, { __mode = "k" })

  local function failed(element, _, message, trace)
    told[element] = true
    local text = message
    if type(message) ~= "string" and trace and trace.currentline then
      text = ("%s:%d: %s"):format(trace.short_src, trace.currentline, describe(message))
    end
    tell("failed", handler.getFullName(element), text)
    return nil, true
  end

  local function skipped(element, _, message)
    told[element] = true
    if type(message) == "string" and message ~= "" then
      tell("skipped", handler.getFullName(element), (message:gsub("^%S+:%d+: ", "")))
    else
      tell("failed", handler.getFullName(element), "skipped without saying why")
    end
    return nil, true
  end

  local function ended(element, _, status)
    if status == "success" then
      tell("passed", handler.getFullName(element))
    elseif not told[element] then
      tell("failed", handler.getFullName(element), "ended as " .. tostring(status))
    end
    return nil, true
  end

  busted.subscribe({ "failure" }, failed)
  busted.subscribe({ "error" }, failed)
  busted.subscribe({ "pending" }, skipped)
  busted.subscribe({ "test", "end" }, ended)
  busted.subscribe({ "suite", "end" }, function()
    tell("complete", "")
    return nil, true
  end)
  handler.options = options
  return handler
end
