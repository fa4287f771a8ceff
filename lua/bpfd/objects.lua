-- Object files that are needed again, when an interface comes or after a reboot: kept by digest in
-- the state directory, for as long as a declaration or a persisted program names them.

local uv = require "luv"
local core = require "bpf.core"
local error_object = require "bpf.error"
local log = require "bpfd.log"
local persisted = require "bpfd.persisted"

local system <const> = core.system

local objects = {}
objects.__index = objects

local DIRECTORY_MODE <const>, FILE_MODE <const> = tonumber("700", 8), tonumber("600", 8)
local CHUNK <const> = 1 << 20

---@param directory string
---@return table? objects, bpf.error? err
function objects.open(directory)
  local made, err = system.make_directory(directory, DIRECTORY_MODE)
  if not made and err.code ~= "EEXIST" then return nil, err end
  return setmetatable({ directory = directory, wanted = {}, taking = 0 }, objects)
end

--- Where the object of a digest is.
---@param digest string  "sha256:..."
---@return string
function objects:path(digest)
  return ("%s/%s"):format(self.directory, (digest:gsub(":", "-")))
end

local function failed(path, message)
  return nil, error_object.new { code = message:match "^(%u+)" or "EIO",
    message = ("cannot keep a copy as %s: %s"):format(path, message) }
end

local function write_all(file, sealed)
  local at = 0
  while true do
    local bytes, message = uv.fs_read(sealed:fd(), CHUNK, at)
    if not bytes then return nil, message end
    if bytes == "" then return uv.fs_fsync(file) end
    local written
    written, message = uv.fs_write(file, bytes, at)
    if not written then return nil, message end
    at = at + written
  end
end

-- Complete under its name, or not there; after a power cut, too.
local function keep(self, sealed, path)
  local draft <const> = ("%s.%d"):format(path, system.identity().pid)
  local file, message = uv.fs_open(draft, "w", FILE_MODE)
  if not file then return failed(path, message) end
  local good
  good, message = write_all(file, sealed)
  uv.fs_close(file)
  if good then good, message = uv.fs_rename(draft, path) end
  if good then return core.disk.sync_directory(self.directory) end
  uv.fs_unlink(draft)
  return failed(path, message)
end

local function take_one(self, source, limit, keeps)
  local sealed <close>, err = system.seal(source.descriptor, limit, source.path)
  if not sealed then return nil, err end
  local digest
  digest, err = system.sha256(sealed)
  if not digest then return nil, err end
  digest = "sha256:" .. digest
  local path <const> = self:path(digest)
  if keeps and not system.exists(path) then
    local good
    good, err = keep(self, sealed, path)
    if not good then return nil, err end
  end
  return digest
end

local held = { __close = function(self)
  for _, digest in ipairs(self) do
    self.wanted[digest] = self.wanted[digest] > 1 and self.wanted[digest] - 1 or nil
  end
end }

-- Nobody drops what is wanted.
local function hold(self, digests)
  local wanted <const> = self.wanted
  for _, digest in ipairs(digests) do wanted[digest] = (wanted[digest] or 0) + 1 end
  return setmetatable({ wanted = wanted, table.unpack(digests) }, held)
end

--- Digests of object files and, if asked, copies of them; in a job.
---@param request table
---@param sources { descriptor: table, path: string }[]
---@param options { limit: integer, keep: boolean }  limit: bytes of one
---@return table? digests  the copies stay at least until it is closed
---@return bpf.error? err
function objects:take(request, sources, options)
  local descriptors = {}
  for i, source in ipairs(sources) do descriptors[i] = source.descriptor end
  self.taking = self.taking + 1
  local taken <close> = setmetatable({}, { __close = function() -- luacheck: ignore taken
    self.taking = self.taking - 1
  end })
  local all, err = request:run(function()
    local digests = {}
    for i, source in ipairs(sources) do
      local err
      digests[i], err = take_one(self, source, options.limit, options.keep)
      if not digests[i] then return nil, err:because("reading " .. source.path) end
    end
    return digests
  end, { keep = descriptors })
  if not all then return nil, err end
  return hold(self, all)
end

--- Drops what nothing names, unless more is just coming.
---@param daemon table
function objects:drop_unused(daemon)
  if self.taking > 0 then return end
  local used = {}
  for digest in pairs(self.wanted) do used[self:path(digest)] = true end
  for digest in pairs(persisted.digests(daemon.store)) do used[self:path(digest)] = true end
  for _, name in ipairs(daemon.store:declarations()) do
    for _, entry in ipairs(daemon.store:declaration(name).programs) do
      if entry.digest then used[self:path(entry.digest)] = true end
    end
  end
  for _, name in ipairs(system.list(self.directory) or {}) do
    local path <const> = ("%s/%s"):format(self.directory, name)
    if not used[path] then
      local good, err = system.remove(path)
      if not good then log.warning("%s", tostring(err)) end
    end
  end
end

return objects
