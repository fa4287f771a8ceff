-- Serves an OCI layout as a registry would, at any pace: for pulls that are looked at while they go
-- on. What it served is in its requests.
local http_server = require "spec.support.http_server"

local layout_server = {}

local handler <const> = [=[
  local dkjson = require "dkjson"
  local layout <const>, pace <const>, down <const> = %q, %s, %q
  local function read(path)
    local file <close> = io.open(path, "rb")
    return file and file:read "a"
  end
  local function blob(digest) return read(layout .. "/blobs/sha256/" .. digest:sub(8)) end
  local function manifest(version)
    if version:find "^sha256:" then return version end
    for _, each in ipairs(dkjson.decode(read(layout .. "/index.json")).manifests) do
      local name = each.annotations["org.opencontainers.image.ref.name"]
      if name:match ":([^:/]*)$" == version then return each.digest, each.mediaType end
    end
  end
  local function ranged(bytes, request)
    local from = tonumber((request.headers.range or ""):match "bytes=(%%d+)-")
    if not from then return { body = bytes, pace = pace } end
    return { status = 206, body = bytes:sub(from + 1), pace = pace,
      headers = { ["Content-Range"] = ("bytes %%d-%%d/%%d"):format(from, #bytes - 1, #bytes) } }
  end
  return function(_)
    return function(request)
      if read(down) then return { status = 500, body = "down" } end
      local version = request.path:match "/manifests/(.*)$"
      if version then
        local digest, media_type = manifest(version)
        local bytes = digest and blob(digest)
        if not bytes then return { status = 404, body = "{}" } end
        return { body = bytes, headers = {
          ["Content-Type"] = media_type or dkjson.decode(bytes).mediaType,
          ["Docker-Content-Digest"] = digest } }
      end
      local digest = request.path:match "/blobs/(.*)$"
      local bytes = digest and blob(digest)
      if not bytes then return { status = 404, body = "{}" } end
      return ranged(bytes, request)
    end
  end
]=]

---@param layout string   a layout whose names end in :TAG
---@param options? { pace: integer?, down: string? }  bytes every five milliseconds; a file while
---  which is there every answer is 500
---@return spec.http_server
function layout_server.start(layout, options)
  options = options or {}
  local source = handler:format(layout, options.pace or "nil", options.down or "/nonexistent")
  return http_server.start(("return (function() %s end)()(...)"):format(source))
end

return layout_server
