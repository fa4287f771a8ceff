-- What commands that may pull an image have in common: who asks the registry, and how far it is.

local core = require "bpf.core"

local pulling = {}

local BAR <const> = 24 -- characters
local LEAST_WIDTH <const> = 64 -- of a terminal that a bar is drawn on

--- The credentials to send: the user's, or those of the user's auth file, which the daemon never
--- reads. Nil without an error: nobody is named.
---@param arguments { image_url: string, registry_auth: string? }
---@return string? registry_auth
---@return bpf.error?
---@return string? note  what stands in the user's auth file and is not used
function pulling.registry_auth(arguments)
  local credentials <const> = require "bpf.registry.credentials"
  local reference, err = require("bpf.registry.reference").parse(arguments.image_url)
  if not reference then return nil, err end
  local found, note
  if arguments.registry_auth then
    found, err = credentials.decode(arguments.registry_auth)
  else
    found, err, note = credentials.find(reference)
  end
  return found and credentials.encode(found), err, note
end

local function bar(done, total)
  local filled <const> = done * BAR // math.max(total, 1)
  return ("[%s%s] %3d %%"):format(("#"):rep(filled), (" "):rep(BAR - filled),
    done * 100 // math.max(total, 1))
end

local function amounts(done, total)
  local size <const> = require "bpfctl.format.size"
  return ("%s of %s"):format(size(done), size(total))
end

-- Drawn over itself, and gone at the end.
local function on_terminal(verb)
  local shown = false
  return function(done, total)
    io.stderr:write("\r", verb, " ", bar(done, total), " ", amounts(done, total), "\27[K")
    shown = true
  end, function()
    if shown then io.stderr:write "\r\27[K" end
  end
end

-- A line at the beginning, at each quarter, and no more.
local function as_lines(verb, url)
  local told
  return function(done, total)
    local quarter <const> = done * 4 // math.max(total, 1)
    if quarter == told then return end
    told = quarter
    io.stderr:write(("%s %s: %s\n"):format(verb, url, amounts(done, total)))
  end, function() end
end

--- Two functions: one that shows how far it is, and one for the end. A bar on a terminal, lines
--- elsewhere, nothing with -q.
---@param session bpfctl.session
---@param url string
---@param verb string?  "pulling" when left out
---@return (fun(done: integer, total: integer))? show, fun() finish
function pulling.progress(session, url, verb)
  if session.options.quiet then return nil, function() end end
  verb = verb or "pulling"
  if core.system.is_terminal(2) and os.getenv "TERM" ~= "dumb"
      and (core.terminal.width(2) or LEAST_WIDTH) >= LEAST_WIDTH then
    return on_terminal(verb)
  end
  return as_lines(verb, require "bpfctl.printable"(url))
end

--- Calls a method that may pull.
---@param session bpfctl.session
---@param method string
---@param params table   with image_url and the user's registry_auth
---@param options table?  of session:call
---@return any result, bpf.error? err
function pulling.call(session, method, params, options)
  local err, note
  params.registry_auth, err, note = pulling.registry_auth(params)
  if err then return nil, err end
  local show, finish = pulling.progress(session, params.image_url)
  options = options or {}
  options.progress = show and function(step)
    if step.step == "pull" then show(step.done, step.total) end
  end
  local result, failure = session:call(method, params, options)
  finish()
  return result, failure and require("bpfctl.own_registry").explain(failure, note)
end

return pulling
