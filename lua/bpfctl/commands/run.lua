-- Runs a Lua script.

local exit = require "bpfctl.exit"

local run = {
  name = "run",
  summary = "Run a Lua script that has bpf and client at hand",
  options = {},
  verbatim = true,
  operands = {
    {
      name = "script", kind = "string", required = true, complete = "file",
      text = "File to run; - is standard input.\n"
        .. "Its first line may be #!/usr/bin/env -S bpfctl run",
    },
    {
      name = "arguments", kind = "string", metavar = "ARG", repeated = true, may_be_empty = true,
      complete = "file", text = "Words for the script, as they stand, in the table arg",
    },
  },
  draws = "nothing",
}

local function read(path)
  local compile <const> = require("bpf.sandbox").compile
  local chunk, why = compile(path, loadfile, path ~= "-" and path or nil, "t")
  if chunk then return chunk end
  return nil, require("bpf.error").new { code = "EINVAL", message = why }
end

local function set_arguments(path, words)
  local before <const> = { [-2] = "bpfctl", [-1] = "run", [0] = path }
  rawset(_G, "arg", table.move(words, 1, #words, 1, before))
end

function run.run(session, arguments)
  local script <const> = require "bpfctl.script"
  local path <const>, words <const> = arguments.script[1], arguments.arguments or {}
  local chunk, err = read(path)
  if not chunk then return nil, err end
  set_arguments(path, words)
  script.prepare(session)
  local done, problem = script.call(chunk, table.unpack(words))
  if not done then
    if script.is_interruption(problem) then session.exit = exit.interrupted end
    return nil, problem
  end
  return {}
end

return run
