-- Lua files that users and sites add to bpfctl: where they lie, and whether they may be run.

local system = require("bpf.core").system
local error_object = require "bpf.error"

local largest <const> = 1 << 20
local writable_by_group <const>, writable_by_all <const>, sticky <const> = 16, 2, 512

local own_files = {}

local function folder(variable, below_home, rest)
  local base = os.getenv(variable)
  if not base or base:sub(1, 1) ~= "/" then
    local home <const> = below_home and os.getenv "HOME"
    base = home and home:sub(1, 1) == "/" and home .. below_home or nil
  end
  return base and base .. rest
end

--- Where files of a kind lie, the user's own before the site's.
---@param kind "commands"|"formats"
---@return string[]
function own_files.folders(kind)
  local site <const> = folder("BPFD_CONFIG_DIR", nil, "/") or "/etc/bpfd/"
  return {
    folder("XDG_CONFIG_HOME", "/.config", "/bpfctl/" .. kind) or site .. kind .. ".d",
    site .. kind .. ".d",
  }
end

--- Where bpfctl keeps what it remembers for its user; nil without a home.
---@return string?
function own_files.state_folder() return folder("XDG_STATE_HOME", "/.local/state", "/bpfctl") end

local function is_name(name) return name:find "^%w[%w_-]*$" ~= nil end

--- The file of this name, should there be one.
---@return string? path
function own_files.find(kind, name)
  if not is_name(name) then return nil end
  for _, directory in ipairs(own_files.folders(kind)) do
    local path <const> = ("%s/%s.lua"):format(directory, name)
    if system.facts(path) then return path end
  end
  return nil
end

--- Names of all files of a kind, sorted, each once.
---@return string[]
function own_files.names(kind)
  local names, seen = {}, {}
  for _, directory in ipairs(own_files.folders(kind)) do
    for _, entry in ipairs(system.list(directory) or {}) do
      local name <const> = entry:match "^(.+)%.lua$"
      if name and is_name(name) and not seen[name] then
        seen[name] = true
        names[#names + 1] = name
      end
    end
  end
  table.sort(names)
  return names
end

-- Why something in the file system is not safe to run code from; nil when it is.
local function danger(facts, uid)
  if facts.uid ~= 0 and facts.uid ~= uid then return ("belongs to uid %d"):format(facts.uid) end
  local others <const> = uid == 0 and writable_by_group | writable_by_all or writable_by_all
  local shared <const> = facts.kind == "directory" and facts.mode & sticky ~= 0
  if facts.mode & others ~= 0 and not shared then return "can be written by others" end
  return nil
end

-- The file as the kernel names it, and every directory above: whoever can write one of them could
-- have put the code there.
local function check_trust(descriptor)
  local uid <const> = system.identity().uid
  local path = system.path_of(descriptor)
  local facts, err = system.facts(descriptor)
  while facts do
    local why <const> = danger(facts, uid)
    if why then
      return nil, error_object.new {
        code = "EPERM", message = ("%s %s, so bpfctl does not run it"):format(path, why),
        advice = uid == 0 and "as root it runs what only root can write: chown root, chmod go-w"
          or "chmod o-w, or make it your own",
      }
    end
    if path == "/" then return true end
    path = path:match "^(.+)/[^/]*$" or "/"
    facts, err = system.facts(path)
  end
  return nil, err
end

local function read_all(descriptor, path)
  local parts, size = {}, 0
  while true do
    local bytes, err = system.read(descriptor)
    if not bytes then return nil, err:because("reading " .. path) end
    if bytes == "" then return table.concat(parts) end
    parts[#parts + 1], size = bytes, size + #bytes
    if size > largest then
      return nil, error_object.new { code = "EFBIG", message = path .. " is larger than 1 MiB" }
    end
  end
end

local function refusal(message)
  return nil, error_object.new { code = "EINVAL", message = message }
end

--- Calls code of a file; what it raises becomes an error that says where.
---@return any result
---@return bpf.error?
function own_files.call(f, ...)
  local results <const> = table.pack(pcall(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  if error_object.is(results[2]) then return nil, results[2] end
  return refusal(tostring(results[2]))
end

--- Runs a file and takes the table that it returns.
---@param path string
---@param is_named boolean?  the user gave the path, and thereby leave to run it
---@return table?
---@return bpf.error?
function own_files.load(path, is_named)
  local descriptor <close>, err = system.open(path)
  if not descriptor then return nil, err end
  local trusted = is_named
  if not trusted then trusted, err = check_trust(descriptor) end
  if not trusted then return nil, err end
  local text
  text, err = read_all(descriptor, path)
  if not text then return nil, err end
  local chunk, wrong = require("bpf.sandbox").compile(path, load, text, "@" .. path, "t")
  if not chunk then return refusal(wrong) end
  local result
  result, err = own_files.call(chunk)
  if err then return nil, err end
  if type(result) ~= "table" then
    return refusal(("%s must return a table, not %s"):format(path, type(result)))
  end
  return result
end

return own_files
