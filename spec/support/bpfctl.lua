-- Runs the built bpfctl as a user would.
local uv = require "luv"
local json = require "bpf.json"
local process = require "spec.support.process"

local bpfctl = {}

local BUILD <const> = os.getenv "BUILD" or uv.cwd() .. "/build"

bpfctl.path = BUILD .. "/bpfctl"

---The examples, under the names that the guide gives them.
bpfctl.examples = BUILD .. "/examples/"

---@param daemon? table        spec.support.daemon; without one the default socket is asked
---@param arguments string[]
---@param options? table  as of process.run; `as` = { uid =, groups = { gid ... }? }: another user
---@return process.result
function bpfctl.run(daemon, arguments, options)
  options = options or {}
  local line = { bpfctl.path, table.unpack(arguments) }
  if options.as then
    local groups <const> = options.as.groups or {}
    line = { "setpriv", "--reuid=" .. options.as.uid, "--regid=" .. options.as.uid,
      #groups > 0 and "--groups=" .. table.concat(groups, ",") or "--clear-groups", "--",
      table.unpack(line) }
  end
  local namespace = daemon and daemon.options.namespace
  if namespace then line = namespace:inside(line) end
  local env = { TZ = "UTC", BPFD_SOCKET = daemon and daemon.socket or false }
  for name, value in pairs(options.env or {}) do env[name] = value end
  return process.run(line, { env = env, stdin = options.stdin, cwd = options.cwd })
end

---Applies a declaration that is a text, under this name.
---@return process.result
function bpfctl.apply(daemon, name, text, ...)
  return bpfctl.run(daemon, { "apply", "-", "--as", name, ... }, { stdin = text })
end

---The same, which must succeed.
---@return table<string, table> found  the changes by label, and by label and interface in one word
---@return table[] changes  in order
function bpfctl.applied(daemon, name, text, ...)
  local result <const> = bpfctl.apply(daemon, name, text, "-o", "json", ...)
  if result.exit ~= 0 then
    error(("bpfctl apply: exit %d\n%s"):format(result.exit, result.stderr), 2)
  end
  local found, changes = {}, assert(json.decode(result.stdout)).changes
  for _, change in ipairs(changes) do
    found[change.label], found[change.label .. (change.iface or "")] = change, change
  end
  return found, changes
end

---The words of a line as a shell takes them, quotes too: for lines pasted from the guide.
---@return string[]
function bpfctl.words(line)
  local words = {}
  for quoted, bare in line:gmatch '%s*"?()([^%s"]+)"?' do
    words[#words + 1] = bare or quoted
  end
  return words
end

---The rows of what `get` and a load print: label -> value, further values joined by newlines.
---@return table<string, string> bpfd_state, table<string, string> kernel_state
function bpfctl.rows(text)
  local sections, section, label = {}, nil, nil
  for line in text:gmatch "[^\n]*" do
    local title = line:match "^ (%u%l+ State)$"
    if title then
      section = {}
      sections[title] = section
    elseif section then
      local name, value = line:match "^ ([^:]+): +(.*)$"
      if name then
        section[name], label = value, name
      elseif line:match "^  +%S" then
        section[label] = section[label] .. "\n" .. line:match "^ +(.*)$"
      end
    end
  end
  return sections["Bpfd State"], sections["Kernel State"]
end

return bpfctl
