-- Writes a declaration of what runs.

local shared = require "bpfctl.shared_options"

local export = {
  name = "export",
  summary = "Write what runs as a declaration for apply",
  options = {
    {
      name = "declared_by", kind = "string", also = "as", metavar = "NAME",
      text = [[
Write the programs of this declaration only.
Example: --declared-by web.lua]],
    },
    shared.metadata_selector, shared.selector,
  },
  draws = function(exported) return require "bpfctl.format.declaration"(exported) end,
}

function export.run(session, arguments)
  return session:call("declaration.export", {
    declared_by = arguments.declared_by, metadata = arguments.metadata_selector,
    selector = arguments.selector,
  })
end

return export
