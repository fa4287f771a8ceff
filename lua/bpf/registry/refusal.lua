-- The errors behind answers that are not what was asked for.

local error_object = require "bpf.error"
local json = require "bpf.json"
local retry = require "bpf.registry.retry"

local LONGEST <const> = 300 -- bytes of a server's own words

local codes <const> = { [401] = "EACCES", [403] = "EACCES", [404] = "ENOENT", [429] = "EAGAIN",
  [503] = "EAGAIN" }

-- Registries tell {"errors": [{"code", "message"}]}.
local function own_words(answer)
  local value <const> = json.decode(answer.body)
  local first <const> = type(value) == "table" and type(value.errors) == "table" and value.errors[1]
  if type(first) ~= "table" then return nil end
  local words <const> = type(first.message) == "string" and first.message ~= "" and first.message
    or first.code
  return type(words) == "string" and words:gsub("%c", " "):sub(1, LONGEST) or nil
end

local function status_line(answer)
  local reason <const> = answer.headers:match "HTTP/[%d.]+ %d+ ([^\r\n]+)[\r\n]"
  return answer.status .. (reason and " " .. reason:sub(1, LONGEST) or "")
end

--- The error for an answer with an unwanted status.
---@param answer bpf.registry.answer
---@param who string?  "the registry" when left out
---@return bpf.error
return function(answer, who)
  local words <const> = own_words(answer)
  local message = ("%s answers %s%s"):format(who or "the registry", status_line(answer),
    words and ": " .. words or "")
  local seconds <const> = retry.asked(answer)
  if seconds then message = ("%s; it asks to wait for %d seconds"):format(message, seconds) end
  return error_object.new { code = codes[answer.status] or "EPROTO", message = message }
end
