-- system.status, reload, features and doctor, and request.cancel.

local bpf = require "bpf"
local core = require "bpf.core"
local error_object = require "bpf.error"
local json = require "bpf.json"
local doctor = require "bpfd.doctor"
local log = require "bpfd.log"
local status = require "bpfd.status"
local uv = require "luv"

local system = {}

system["system.status"] = {
  parameters = {},
  run = function(daemon, request) return status.of(daemon, request) end,
}

-- Policies and programs.d are read anew; what is broken changes nothing, and is told.
system["system.reload"] = {
  parameters = {},
  run = function(daemon)
    local good, err = daemon:reload()
    if not good then return nil, err:because "reloading the policies" end
    return { failed = status.failures(daemon) }
  end,
}

-- In a job: it loads programs.
system["system.features"] = {
  parameters = {},
  run = function(_, request)
    local found, err = request:run(function() return bpf.features.list() end)
    if not found then return nil, err end
    for _, feature in ipairs(found) do feature.reason = feature.reason or json.null end
    return {
      version = core.system.version, kernel = uv.os_uname().release, features = found,
    }
  end,
}

local function shown_finding(finding)
  return { code = finding.code, subject = finding.subject, text = finding.text,
    repair = finding.repair or json.null, state = finding.state,
    trouble = finding.trouble or json.null }
end

-- Of a database that is damaged nobody can tell.
local function count(daemon, name)
  local good, number = pcall(daemon.store.count, daemon.store, name)
  return good and number or json.null
end

system["system.doctor"] = {
  parameters = { repair = true },
  run = function(daemon, request)
    local repair <const> = request.params.repair
    if repair ~= nil and type(repair) ~= "boolean" then
      return nil, error_object.new { code = "EINVAL", message = "repair must be true or false" }
    end
    local found, err = doctor.run(daemon, { repair = repair == true })
    if not found then return nil, err end
    local shown = {}
    for i, finding in ipairs(found) do
      shown[i] = shown_finding(finding)
      log.info("doctor, for user %d: %s", request.peer.uid, doctor.sentence(finding))
    end
    return { daemon = true, programs = count(daemon, "programs"), chains = count(daemon, "chains"),
      findings = shown }
  end,
}

-- The descriptors of this line belong to the next request of the connection, before its own.
system["request.stage"] = { parameters = {}, stages = true }

system["request.cancel"] = {
  parameters = { request = true },
  run = function(_, request)
    local wanted <const> = request.params.request
    for _, other in pairs(request.connection.requests) do
      if other ~= request and other.id == wanted then
        return { cancelled = other:cancel "the request was cancelled" }
      end
    end
    return nil, error_object.new { code = "ENOENT",
      message = ("no request %s is under way on this connection"):format(tostring(wanted)) }
  end,
}

return system
