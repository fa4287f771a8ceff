-- What a client sends: bytes, in parts, with descriptors. The server, its connections and the
-- methods are the daemon's own; jobs and the process of the policies, which are forks, are none.
-- The first byte says in how many parts it comes, and how many descriptors come with the first.

local error_object = require "bpf.error"

local function no_job()
  return nil, error_object.new { code = "ECANCELED", message = "no job is run" }
end
package.loaded["bpfd.job"] = { run = no_job, cancel = function() return false end,
  count = function() return 0 end }
package.loaded["bpfd.policy.process"] = { start = no_job }

local core = require "bpf.core"
local uv = require "luv"
local boot = require "bpfd.boot"
local config = require "bpfd.config"
local departed = require "bpfd.departed"
local directories = require "bpfd.directories"
local hooks = require "bpfd.hooks"
local json = require "bpf.json"
local log = require "bpfd.log"
local objects = require "bpfd.objects"
local policy = require "bpfd.policy"
local server = require "bpfd.server"
local store = require "bpfd.store"

local LIMITS <const> = { request = 4096, connections = 4, idle = 60 }
local MOST_TURNS <const> = 1000

local faults = {}
log.error = function(...) faults[#faults + 1] = string.format(...) end
log.warning, log.info, log.debug = function() end, function() end, function() end

local directory <const> = os.tmpname()
os.remove(directory)
assert(core.system.make_directory(directory))

local function methods()
  local all = {}
  for _, name in ipairs { "program", "chain", "declaration", "map", "image", "policy", "system" } do
    for method, description in pairs(require("bpfd.methods." .. name)) do
      all[method] = description
    end
  end
  return all
end

local daemon <const> = setmetatable({ run_dir = directory, state_dir = directory, unwritten = {},
  config = assert(config.check({}, directory)), departed = departed.new() }, require "bpfd.daemon")
daemon.directories = assert(directories.open(directory .. "/run", directory .. "/state"))
daemon.store = assert(store.open(daemon.directories.database, "boot"))
daemon.objects = assert(objects.open(daemon.directories.objects))
daemon.hooks = hooks.new(daemon.directories, daemon.store)
daemon.policy = policy.new(directory .. "/policy.d", daemon.config.policy)
daemon.config.directory = directory
daemon.boot = boot.new(daemon)
daemon.started_at, daemon.started, daemon.engines = core.system.clock(), 0, {}
daemon.privilege = { capabilities = {}, refused_calls = 0 }

local path <const> = directory .. "/socket"
local opened <const> = assert(server.open { daemon = daemon, methods = methods(), limits = LIMITS,
  listen = { { path = path, mode = tonumber("600", 8), allow = { "*" } } } })
daemon.server = opened

-- One answer is one line of JSON-RPC; a fault of the daemon's own is a finding.
local function check_answers(text)
  for line in text:gmatch "([^\n]*)\n" do
    local answer <const> = assert(json.decode(line, { null = true }))
    assert(answer.jsonrpc == "2.0", line)
    assert((answer.result == nil) ~= (answer.error == nil) or answer.method == "progress", line)
    if answer.error then assert(answer.error.data.code ~= "EFAULT", line) end
  end
  assert(text == "" or text:sub(-1) == "\n", "an answer that is not ended")
end

local function read_all(socket, answers)
  while true do
    local bytes, err = socket:receive()
    if not bytes then return err.code == "EAGAIN" end
    if bytes == "" then return false end
    answers[#answers + 1] = bytes
    for _, descriptor in ipairs(err or {}) do descriptor:close() end
  end
end

local function parts_of(bytes, count)
  local parts, size = {}, math.max(1, (#bytes + count - 1) // count)
  for at = 1, #bytes, size do parts[#parts + 1] = bytes:sub(at, at + size - 1) end
  return parts
end

local function send(socket, part, descriptors, answers)
  local at = 1
  while at <= #part do
    local sent, err = socket:send(part, at == 1 and descriptors or nil, at)
    if sent then at = at + sent elseif err.code ~= "EAGAIN" then return false end
    uv.run "nowait"
    if not read_all(socket, answers) then return false end
  end
  return true
end

local function open_some(count)
  local descriptors = {}
  for i = 1, count do descriptors[i] = assert(core.system.seal("x", 1, "given")) end
  return descriptors
end

-- Until the server has closed its side; nothing here waits for anybody else.
local function wait_for_end(socket, answers)
  for _ = 1, MOST_TURNS do
    uv.run "nowait"
    if not read_all(socket, answers) and opened.connection_count == 0 then return end
  end
  error "the server keeps a connection whose client has ended"
end

return function(bytes)
  local how <const> = bytes:byte(1) or 0
  local socket <const> = assert(core.socket.connect(path, 1))
  local descriptors <const> = open_some(how >> 4)
  local answers, first = {}, #descriptors > 0 and descriptors or nil
  for _, part in ipairs(parts_of(bytes:sub(2), (how & 15) + 1)) do
    if not send(socket, part, first, answers) then break end
    first = nil
  end
  socket:shutdown "w"
  wait_for_end(socket, answers)
  socket:close()
  for _, descriptor in ipairs(descriptors) do descriptor:close() end
  if faults[1] then error("a fault of the daemon's: " .. table.concat(faults, "; ")) end
  check_answers(table.concat(answers))
end
