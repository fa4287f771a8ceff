-- A request of the daemon's own: work that nobody is connected for.

local error_object = require "bpf.error"
local job = require "bpfd.job"
local policy_event = require "bpfd.policy.event"

local own_request = {}
own_request.__index = own_request

---@param method string
---@param peer table?  in whose name the work is done; the daemon's own when left out
function own_request.new(method, peer)
  return setmetatable({ method = method, params = {}, peer = peer or policy_event.own_peer(),
    descriptors = {} }, own_request)
end

function own_request.descriptor()
  return nil, error_object.new { code = "EINVAL", message = "no descriptor came with it" }
end

function own_request.run(_, work, options) return job.run(work, options) end

function own_request.cancel() return false end

return own_request
