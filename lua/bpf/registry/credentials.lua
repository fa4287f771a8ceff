-- Who asks a registry: what the user says, else what Podman or Docker have noted, else nobody.
-- Read by the client, for the user's files are none of the daemon's business.
-- luacheck: ignore 212 (a skeleton: the signatures first)

local credentials = {}

--- Reads `registry_auth`: base64 of USER:PASSWORD.
---@param text string
---@return bpf.registry.credentials?
---@return bpf.error?
function credentials.decode(text) end

--- What the user's auth file has for a repository: the longest key that fits. Nil without an error
--- means anonymous.
---@param reference bpf.reference
---@param environment (fun(name: string): string?)?  os.getenv when left out
---@return bpf.registry.credentials?
---@return bpf.error?
function credentials.find(reference, environment) end

--- The form in which they travel to the daemon.
---@param of bpf.registry.credentials
---@return string  base64
function credentials.encode(of) end

return credentials
