-- A blob into a file: what is there already is kept, the rest is asked for, the whole is checked.

local system = require("bpf.core").system
local error_object = require "bpf.error"
local is_digest = require("bpf.registry.reference").is_digest
local refusal = require "bpf.registry.refusal"
local report = require "bpf.registry.report"
local request = require "bpf.registry.request"

local INTERRUPTIONS <const> = 5 -- after each of which it goes on from where it was

local blob = {}

--- A digest and a size are what a stranger's manifest says.
---@return true?
---@return bpf.error?
function blob.check(digest, size)
  if is_digest(digest) and math.type(size) == "integer" and size >= 0 then return true end
  return nil, error_object.new { code = "EBADMSG",
    message = ("'%s' of %s bytes is no blob"):format(tostring(digest), tostring(size)) }
end

-- A descriptor to write to, and one to close afterwards if it was opened here.
local function open(into)
  if type(into) ~= "string" then return into end
  if not system.facts(into) then
    local file <close>, why = io.open(into, "ab")
    if not file then
      return nil, error_object.new { code = "EIO", message = "cannot make " .. tostring(why) }
    end
    system.set_access(into, tonumber("600", 8))
  end
  local opened, err = system.open(into, "rw")
  if not opened then return nil, err end
  return opened, opened
end

local function number_of(descriptor)
  return math.type(descriptor) == "integer" and descriptor or descriptor:fd()
end

-- Opening a file for writing cuts it off.
local function empty(descriptor)
  local file <close>, why = io.open(("/proc/self/fd/%d"):format(number_of(descriptor)), "wb")
  if file then return true end
  return nil, error_object.new { code = "EIO", message = "cannot cut off the file: " .. why }
end

local function length_of(descriptor)
  local facts, err = system.facts(descriptor)
  return facts and facts.size, err
end

-- What came is in the file after a failure too. Returns whether it may go on by itself.
local function fetch_rest(self, download)
  local offset <const> = download.offset
  local answer, err = request.ask(self, {
    method = "GET", path = "/blobs/" .. download.digest, actions = "pull",
    headers = offset > 0 and { ("Range: bytes=%d-"):format(offset) } or nil,
    into = download.descriptor, offset = offset, limit = download.size - offset,
    progress = download.progress,
  })
  if not answer then return nil, err, err.code == "ECONNRESET" end
  if answer.status == 416 then
    local emptied
    emptied, err = empty(download.descriptor)
    return nil, err or refusal(answer), emptied
  end
  if answer.status ~= 200 and answer.status ~= 206 then return nil, refusal(answer), false end
  return true
end

local function fetch_all(self, download)
  local interruptions = 0
  while true do
    local length, err = length_of(download.descriptor)
    if not length then return nil, err end
    if length == download.size then return true end
    download.offset = length
    local may_go_on, fetched
    fetched, err, may_go_on = fetch_rest(self, download)
    if fetched then
      length = length_of(download.descriptor)
      if length == download.size then return true end
      may_go_on = true
      err = error_object.new { code = "ECONNRESET", message = ("only %d of its %d bytes came")
        :format(length or 0, download.size) }
    end
    interruptions = interruptions + 1
    if not may_go_on or interruptions > INTERRUPTIONS then return nil, err end
  end
end

-- The content, if it is what the digest stands for.
local function checked(content, digest)
  local hexadecimal, err = system.sha256(content)
  if not hexadecimal then return nil, err end
  if "sha256:" .. hexadecimal == digest then return content end
  return nil, error_object.new { code = "EBADMSG",
    message = ("what came has the digest sha256:%s"):format(hexadecimal) }
end

-- A wrong digest says nothing of the registry as long as a part of the file is of another day.
local function fetch(self, download, offset)
  local length, err = length_of(download.descriptor)
  if not length then return nil, err end
  if offset and offset < length or length > download.size then
    length, err = 0, select(2, empty(download.descriptor))
    if err then return nil, err end
  end
  for attempt = length > 0 and 1 or 2, 2 do
    local good
    good, err = fetch_all(self, download)
    if not good then return nil, err end
    good, err = checked(download.descriptor, download.digest)
    if good then return true end
    local emptied, why = empty(download.descriptor)
    if not emptied then return nil, why end
    if attempt == 2 then return nil, err end
  end
end

--- session:blob
function blob.fetch(self, digest, size, into, options)
  local sound, wrong = blob.check(digest, size)
  if not sound then return request.failed(self, wrong, "fetching a blob of") end
  local descriptor, opened = open(into)
  if not descriptor then return nil, opened end
  local _ <close> = opened
  local download <const> = { digest = digest, size = size, descriptor = descriptor,
    progress = report(self.progress, size) }
  local good, err = fetch(self, download, options and options.offset)
  if not good then return request.failed(self, err, ("fetching blob %s of"):format(digest)) end
  return true
end

local function fetch_bytes(self, digest, size, limit)
  local sound, err = blob.check(digest, size)
  if not sound then return nil, err end
  if size > limit then
    return nil, error_object.new { code = "EFBIG",
      message = ("it has %d bytes, more than the %d that are read"):format(size, limit) }
  end
  local answer
  answer, err = request.ask(self, {
    method = "GET", path = "/blobs/" .. digest, actions = "pull", limit = size,
  })
  if not answer then return nil, err end
  if answer.status ~= 200 then return nil, refusal(answer) end
  return checked(answer.body, digest)
end

--- session:blob_bytes
function blob.fetch_bytes(self, digest, size, limit)
  local bytes, err = fetch_bytes(self, digest, size, limit)
  if bytes then return bytes end
  return request.failed(self, err, ("fetching blob %s of"):format(tostring(digest)))
end

return blob
