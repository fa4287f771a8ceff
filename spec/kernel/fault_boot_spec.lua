-- What is left of a load with --persist, of its end, and of the start that loads it again, when a
-- call fails in its midst, or is the last.
local programs = require "spec.support.fault_programs"
local walk = require "spec.support.fault_walk"

local function load(self)
  local params <const>, object <const> = programs.of("xdp", 40)
  params.persist = true
  return self:load(params, object)
end

describe("with a fault in it,", function()
  walk.declare(_ENV, {
    { name = "a load that is persisted", run = load },
    { name = "an unload of what is persisted",
      before = function(self) return assert(load(self)).id end,
      run = function(self, id) return self:call("program.unload", { id = id }) end },
  })
end)
