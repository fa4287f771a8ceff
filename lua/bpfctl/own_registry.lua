-- A registry that bpfctl talks to by itself, as push, sign and verify do.

local shared = require "bpfctl.shared_options"

local own_registry = {}

--- What such a command takes, the image aside.
own_registry.options = {
  shared.registry_auth,
  {
    name = "plain_http", kind = "flag",
    text = "The registry speaks no TLS",
  },
  {
    name = "ca", kind = "string", metavar = "PATH", complete = "file",
    text = "Certificates by which the registry is known, instead of the system's",
  },
}

--- All that bpf.registry.open wants to know.
---@param arguments { image_url: string, registry_auth: string?, plain_http: boolean?, ca: string? }
---@return bpf.registry.options?
---@return bpf.error?
---@return string? note  what stands in the user's auth file and is not used
function own_registry.read(arguments)
  local reference, err = require("bpf.registry.reference").parse(arguments.image_url)
  if not reference then return nil, err end
  local auth, failure, note = require("bpfctl.pulling").registry_auth(arguments)
  if failure then return nil, failure end
  return {
    reference = reference,
    credentials = auth and require("bpf.registry.credentials").decode(auth),
    settings = { registries = {
      [reference.registry] = { plain_http = arguments.plain_http, ca = arguments.ca },
    } },
  }, nil, note
end

local tls <const> = "--ca PATH names the registry's own CA, and --plain-http does without TLS"

--- An error of a registry that bpfctl talks to itself, with what the user can do here.
---@param err bpf.error
---@param note string?
---@return bpf.error
function own_registry.advise(err, note)
  if err.code == "EPROTO" and err.advice then return err:with_advice(tls) end
  return own_registry.explain(err, note)
end

--- Says of a refused request what stands unused in the user's auth file.
---@param err bpf.error
---@param note string?
---@return bpf.error
function own_registry.explain(err, note)
  if not note or err.code ~= "EACCES" then return err end
  return err:with_advice(note .. (err.advice and "; " .. err.advice or ""))
end

--- Opens a session and does something with it.
---@param arguments table
---@param work fun(session: bpf.registry.session): any, bpf.error?
function own_registry.with_session(arguments, work)
  local options, err, note = own_registry.read(arguments)
  if not options then return nil, err end
  local session <close>, failure = require("bpf.registry").open(options)
  if not session then return nil, failure end
  local result
  result, err = work(session)
  if result then return result end
  return nil, own_registry.advise(err, note)
end

return own_registry
