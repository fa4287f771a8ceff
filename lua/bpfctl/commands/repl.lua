-- Reads Lua line by line and shows what it gives.

return {
  name = "repl",
  summary = "Read Lua line by line, with bpf and client at hand, and show what it gives",
  options = {
    {
      name = "execute", short = "e", kind = "string", repeated = true, metavar = "CODE",
      text = "Run this as a line would be run, and leave.\n"
        .. "Example: -e 'client:call \"program.list\"'",
    },
  },
  draws = "nothing",
  run = function(session, arguments)
    return require "bpfctl.repl" (session, arguments.execute)
  end,
}
