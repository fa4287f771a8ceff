-- Requests of one repository, authorized as its registry wants it.

local request = {}

--- Fails with an error that says what was being done, and of what reference.
---@param session bpf.registry.session
---@param err bpf.error
---@param doing string     "fetching the manifest of"
---@param version string?  in place of the reference's own
---@return nil, bpf.error
function request.failed(session, err, doing, version)
  local reference <const> = version and session.reference:at(version) or session.reference
  return nil, err:because(doing .. " " .. reference:text())
end

--- Sends one, and once more where the first was not authorized.
---@param session bpf.registry.session
---@param wanted table  as bpf.registry.request; `path` below the repository in place of `url`, and
---  `actions` for which it must be authorized
---@return bpf.registry.answer?
---@return bpf.error?
function request.ask(session, wanted)
  local actions <const> = wanted.actions
  local sent = { home = session.repository, url = wanted.url or session.repository .. wanted.path }
  for _, name in ipairs { "method", "headers", "body", "body_size", "into", "offset", "limit",
      "progress" } do
    sent[name] = wanted[name]
  end
  for attempt = 1, 2 do
    sent.authorization = session.authorization:header(actions)
    local answer, err = session.http:send(sent)
    if not answer then return nil, err end
    if answer.status ~= 401 then return answer end
    if attempt == 2 then return nil, session.authorization:refused(answer) end
    local renewed
    renewed, err = session.authorization:renew(answer, actions)
    if not renewed then return nil, err end
  end
end

return request
