-- Writes what runs into the store, inside a transaction of the caller's.

local program_object = require "bpfd.program_object"

local index = {}

--- One program, as its record tells.
---@param note table
---@param hook_name string?
function index.put_program(daemon, id, note, hook_name)
  daemon.store:put_program(id, note, hook_name, program_object.fixed(id, note))
end

-- The manifest's word on a member's place is the last, the record's that of the load.
local function take_places(daemon, hook_name, manifest)
  for _, member in ipairs(manifest.members) do
    local row = daemon.store:program(member.id)
    if row and program_object.take_place(row.note, member) then
      index.put_program(daemon, row.id, row.note, hook_name)
    end
  end
end

--- One chain, whose members are written already.
---@param manifest table|false|nil  false or nil: there is none any more
---@param options { places: boolean? }?  places: members that were known may have got another
---  priority or proceed-on set
function index.put_chain(daemon, hook_name, manifest, options)
  if manifest and options and options.places then take_places(daemon, hook_name, manifest) end
  daemon.store:put_chain(hook_name, manifest or nil)
end

return index
