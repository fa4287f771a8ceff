-- Makes what runs what a declaration says.

local error_object = require "bpf.error"

local apply = {
  name = "apply",
  summary = "Make what runs what a declaration says, all or nothing",
  options = {
    {
      name = "as", kind = "string", metavar = "NAME",
      text = [[
Name of the declaration, by which it owns its programs.
Without it that is the name of the file, without its directory.]],
    },
    {
      name = "dry_run", kind = "flag",
      text = "Show what would change, and change nothing",
    },
    {
      name = "prune", kind = "flag",
      text = [[
Unload programs that an earlier version of the declaration had.
Without it they stay, and are listed.]],
    },
  },
  operands = {
    {
      name = "file", kind = "string", required = true,
      text = [[
Lua file with the programs that are to run, or - for standard input.
Example: program "stats" { path = "stats.o", name = "stats",
attach = { type = "xdp", iface = "veth*", priority = 50 } }]],
    },
  },
  draws = function(applied, style) return require "bpfctl.format.changes"(applied, style) end,
}

function apply.validate(values)
  if values.file[1] == "-" and not values.as then return "standard input needs --as <NAME>" end
  return nil
end

-- The text, what messages call it, and where its relative paths begin.
local function read(path)
  if path == "-" then
    local text <const>, why <const> = io.stdin:read "a"
    if text then return text, "stdin", "" end
    return nil, error_object.new { code = "EIO", message = "cannot read standard input: " .. why }
  end
  local text, err = require("bpf.sandbox").read(path)
  if not text then return nil, err end
  return text, path, path:match "^(.*/)[^/]*$" or ""
end

local function entry_for(passed, entry, directory)
  local sent = {}
  for key, value in pairs(entry) do sent[key] = value end
  if entry.path then
    local err
    local path <const> = entry.path:sub(1, 1) == "/" and entry.path or directory .. entry.path
    sent.path, sent.fd, err = nil, passed:open(path, "an object file")
    if not sent.fd then return nil, err end
  end
  local good, err = passed:open_attach(sent.attach)
  if not good then return nil, err end
  return sent
end

function apply.run(session, arguments)
  local declaration <const> = require "bpf.declaration"
  local path <const> = arguments.file[1]
  local text, shown, directory = read(path)
  if not text then return nil, shown end
  local entries, err = declaration.read(text, shown)
  if not entries then return nil, err end
  local passed <close> = require("bpfctl.passed").new()
  for i, entry in ipairs(entries) do
    entries[i], err = entry_for(passed, entry, directory)
    if not entries[i] then return nil, err:because(declaration.place(shown, entry)) end
  end
  return session:call("declaration.apply", {
    name = arguments.as or path:match "[^/]*$", programs = entries,
    dry_run = arguments.dry_run, prune = arguments.prune,
  }, { descriptors = passed.descriptors })
end

return apply
