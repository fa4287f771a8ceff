-- A command that is a family of commands: `bpfctl NAME COMMAND`, one file each in commands/NAME/.

---@param declared { name: string, summary: string, commands: string[] }  in the order of its page
---@return bpfctl.command
return function(declared)
  local known = {}
  for _, name in ipairs(declared.commands) do known[name] = true end
  return {
    name = declared.name, summary = declared.summary, commands = declared.commands,
    noun = "command", options = {},
    find = function(name)
      local module <const> = ("bpfctl.commands.%s.%s"):format(declared.name, (name:gsub("-", "_")))
      return known[name] and require(module)
    end,
  }
end
