-- A store of images: content-addressed, in the OCI image layout, so that other tools read it too.
-- Several processes may use one at a time, and a kill at any moment leaves whole blobs or none.
--
--     oci-layout, index.json      as the layout has them; index.json is replaced whole
--     blobs/sha256/HEX            whole; renamed to here once every byte is on the disk
--     partial/sha256:HEX          on its way; its lock is held by whoever fetches it
--     unpacked/HEX.json           which eBPF objects the layer with this digest has: blobs as well
--     lock                        of index.json, and of what removes blobs

local core = require "bpf.core"
local error_object = require "bpf.error"
local json = require "bpf.json"

local disk <const>, system <const> = core.disk, core.system

local PRIVATE <const> = 448 -- 0700
local LOCK <const> = 60 -- seconds that a change of the index waits for the one before it
local FETCH <const> = 3600 -- and a fetch for somebody else's of the same blob
local CHUNK <const> = 1 << 20

---@class bpf.image.store
---@field path string
---@field received table<string, true>?  during a pull: blobs whose digest was checked as they came
local store = {}
store.__index = store

local function corrupt(digest)
  return nil, error_object.new { code = "ENODATA",
    message = ("its blob %s is corrupted in the store"):format(digest) }
end

local function missing(digest)
  return nil, error_object.new { code = "ENODATA",
    message = ("its blob %s is not in the store"):format(digest) }
end

local function make_directory(path)
  local good, err = system.make_directory(path, PRIVATE)
  if not good and err.code ~= "EEXIST" then return nil, err end
  return true
end

-- What is written can be made anew, unless it is to be durable.
local function write_all(path, write, is_durable)
  local file <close>, err = disk.create(path)
  if not file then return nil, err end
  local good
  good, err = write(file)
  if good and is_durable then good, err = disk.sync(file) end
  return good, err
end

local written = 0

-- Writes a whole file or nothing.
local function write_whole(self, directory, name, write, is_durable)
  written = written + 1
  local new <const> = ("%s/partial/new-%d-%d"):format(self.path, system.identity().pid, written)
  system.remove(new)
  local good, err = write_all(new, write, is_durable)
  if good then good, err = system.rename(new, directory .. "/" .. name) end
  if good then return true end
  system.remove(new)
  return nil, err
end

local function writer_of(bytes)
  return function(file) return system.write(file, bytes) end
end

-- The parts of a file from its beginning, wherever the descriptor stands.
local function parts_of(descriptor)
  local from = assert(system.open("/proc/self/fd/" .. descriptor:fd()))
  return function()
    local bytes = assert(system.read(from, CHUNK))
    if bytes ~= "" then return bytes end
    from:close()
  end
end

--- Opens a layout that must be there, to read it.
---@param path string
---@return bpf.image.store?
---@return bpf.error?
function store.open_layout(path)
  if system.facts(path .. "/oci-layout") then return setmetatable({ path = path }, store) end
  return nil, error_object.new { code = "ENOENT",
    message = path .. " is no OCI image layout: it has no file oci-layout" }
end

--- Where a blob lies, or would.
---@param digest string
---@return string
function store:blob_path(digest)
  return ("%s/blobs/sha256/%s"):format(self.path, digest:sub(#"sha256:" + 1))
end

--- Whether a blob is there, by its size alone where one is given.
---@param digest string
---@param size integer?
---@return boolean
function store:has(digest, size)
  local facts <const> = system.facts(self:blob_path(digest))
  return facts ~= nil and facts.kind == "file" and (size == nil or facts.size == size)
end

--- A copy of a blob in sealed memory, its digest checked: these bytes nobody can change any more.
---@param digest string
---@param limit integer  bytes
---@return table? descriptor
---@return bpf.error?  code ENODATA: it is missing or corrupted
function store:seal(digest, limit)
  local file <close>, err = system.open(self:blob_path(digest))
  if not file then
    if err.code == "ENOENT" then return missing(digest) end
    return nil, err
  end
  local sealed
  sealed, err = system.seal(file, limit, digest)
  if not sealed then return nil, err end
  local found
  found, err = system.sha256(sealed)
  if not found then return nil, err end
  if "sha256:" .. found ~= digest then return corrupt(digest) end
  return sealed
end

--- The bytes of a small blob, its digest checked.
---@param digest string
---@param limit integer
---@return string?
---@return bpf.error?
function store:read(digest, limit)
  local sealed <close>, err = self:seal(digest, limit)
  if not sealed then return nil, err end
  local parts = {}
  for bytes in parts_of(sealed) do parts[#parts + 1] = bytes end
  return table.concat(parts)
end

--- A blob opened, its digest checked unless that was done just now, as it came.
---@param digest string
---@return table? descriptor  at its beginning
---@return bpf.error?
function store:open_blob(digest)
  local file, err = system.open(self:blob_path(digest))
  if not file then
    if err.code == "ENOENT" then return missing(digest) end
    return nil, err
  end
  if self.received and self.received[digest] then return file end
  local found
  found, err = system.sha256(file)
  if not found then return nil, err end
  if "sha256:" .. found ~= digest then return corrupt(digest) end
  return file
end

--- The digest of bytes at hand.
---@param bytes string
---@return string
function store.digest_of(bytes)
  return "sha256:" .. assert(system.sha256(bytes))
end

local function put(self, digest, size, write, is_durable)
  if self:has(digest, size) then
    local sound <close> = self:open_blob(digest)
    if sound then return digest end
  end
  local good, err = write_whole(self, self.path .. "/blobs/sha256", digest:sub(#"sha256:" + 1),
    write, is_durable)
  if not good then return nil, err:because "writing to the image store" end
  return digest
end

--- Puts bytes in.
---@param bytes string
---@return string? digest
---@return bpf.error?
function store:put(bytes)
  return put(self, store.digest_of(bytes), #bytes, writer_of(bytes), true)
end

--- Puts all bytes of sealed memory, or of a file that nobody changes, in.
---@param descriptor bpf.descriptor
---@param is_durable boolean?  false: what of it a crash of the machine damages can be made anew
---@return string? digest
---@return bpf.error?
function store:put_file(descriptor, is_durable)
  local hex, err = system.sha256(descriptor)
  if not hex then return nil, err end
  return put(self, "sha256:" .. hex, system.facts(descriptor).size,
    function(file) return disk.copy(descriptor, file) end, is_durable ~= false)
end

--- A blob that is not what it should be goes, so that it is fetched again.
---@param digest string
function store:discard(digest)
  system.remove(self:blob_path(digest))
end

-- The locked file of a blob on its way; nil where the blob has come meanwhile.
local function lock_partial(self, path, digest, size)
  while true do
    local file, err = system.lock(path, FETCH)
    if not file then return nil, err end
    local mine <const>, there <const> = system.facts(file), system.facts(path)
    local is_mine <const> = there ~= nil and there.inode == mine.inode
    if self:has(digest, size) then
      if is_mine then system.remove(path) end
      file:close()
      return nil
    end
    if is_mine then return file end
    file:close() -- whoever had the lock has renamed or removed the file
  end
end

--- Gets a blob, unless it is there. One process fetches it, others wait for that; what a fetch that
--- failed or died has got is kept, and the next one goes on from it.
---@param digest string
---@param size integer
---@param fetch fun(file: table): true?, bpf.error?  appends the rest, and checks the digest
---@return true?
---@return bpf.error?
function store:receive(digest, size, fetch)
  if self:has(digest, size) then return true end
  local path <const> = self.path .. "/partial/" .. digest
  local file <close>, err = lock_partial(self, path, digest, size)
  if not file then return err == nil or nil, err end
  local good = true
  if system.facts(file).size > size then good, err = disk.empty(file) end
  if good then good, err = fetch(file) end
  if good then good, err = disk.sync(file) end
  if good then good, err = system.rename(path, self:blob_path(digest)) end
  if good and self.received then self.received[digest] = true end
  return good, err
end

--- Does something while no other process changes the index or removes blobs.
---@generic T
---@param body fun(): T?, bpf.error?
---@return T?
---@return bpf.error?
function store:locked(body)
  if self.lock_held then return body() end
  local lock <close>, err = system.lock(self.path .. "/lock", LOCK)
  if not lock then return nil, err:because("locking the image store " .. self.path) end
  self.lock_held = true
  local unlock <close> = setmetatable({}, { __close = function() self.lock_held = nil end }) -- luacheck: ignore
  return body()
end

--- What has been put in so far survives a crash of the machine.
---@return true?
---@return bpf.error?
function store:settle() return disk.sync_directory(self.path .. "/blobs/sha256") end

--- Replaces one of the store's own files, such as index.json: whole or not at all.
---@param name string
---@param bytes string
---@param is_durable boolean?  false: it can be made anew
---@return true?
---@return bpf.error?
function store:replace(name, bytes, is_durable)
  local directory <const>, base <const> = (self.path .. "/" .. name):match "^(.*)/([^/]*)$"
  local good, err = write_whole(self, directory, base, writer_of(bytes), is_durable ~= false)
  if good and is_durable ~= false then good, err = disk.sync_directory(directory) end
  return good, err
end

--- The bytes of one of the store's own files; nil where there is none. Raises where it cannot be
--- read: an index that is taken for absent would be written anew, and all names be lost.
---@param name string
---@return string?
function store:own_file(name)
  local path <const> = self.path .. "/" .. name
  if not system.exists(path) then return nil end
  local file <close>, err = system.open(path)
  local parts = {}
  while file do
    local bytes
    bytes, err = system.read(file, CHUNK)
    if bytes == "" then return table.concat(parts) end
    if not bytes then break end
    parts[#parts + 1] = bytes
  end
  error(err:because("reading " .. path), 0)
end

local empty_index <const> = { schemaVersion = 2,
  mediaType = "application/vnd.oci.image.index.v1+json", manifests = {} }

local function make(self)
  local above <const> = self.path:match "^(.+)/[^/]+$"
  if above then make_directory(above) end -- of a machine where bpfd has not run yet
  local good, err = true, nil
  for _, name in ipairs { "", "/blobs", "/blobs/sha256", "/partial", "/unpacked" } do
    if good then good, err = make_directory(self.path .. name) end
  end
  if not good then return nil, err end
  return self:locked(function()
    good = true
    if not system.exists(self.path .. "/index.json") then
      good, err = self:replace("index.json", json.encode(empty_index, { sorted = true }))
    end
    if good and not system.exists(self.path .. "/oci-layout") then
      good, err = self:replace("oci-layout", '{"imageLayoutVersion":"1.0.0"}')
    end
    return good, err
  end)
end

--- Opens a store; its directory is made where there is none.
---@param path string
---@return bpf.image.store?
---@return bpf.error?
function store.open(path)
  local self = setmetatable({ path = path }, store)
  if system.facts(path .. "/oci-layout") and system.facts(path .. "/unpacked") then return self end
  local good, err = make(self)
  if not good then return nil, err:because("making the image store " .. path) end
  return self
end

return store
