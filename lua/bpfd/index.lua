-- Writes what runs into the store.

local log = require "bpfd.log"
local loop = require "bpfd.loop"
local program_object = require "bpfd.program_object"

local RETRY <const> = 1 -- seconds

local index = {}

--- One transaction, behind what has happened before and could not be written then.
---@param daemon table
---@param body fun()
---@return true? ok, bpf.error? err
function index.write(daemon, body)
  local waiting <const> = daemon.unwritten
  local good, err = daemon.store:change(function()
    for _, earlier in ipairs(waiting) do earlier() end
    body()
    return true
  end)
  if good then daemon.unwritten = {} end
  return good, err
end

--- For what the kernel has done and the store refuses: it is tried until it succeeds.
---@param daemon table
---@param body fun()
---@param err bpf.error  why it was refused
function index.write_later(daemon, body, err)
  log.error("what runs now cannot be written down, and is tried again: %s", tostring(err))
  table.insert(daemon.unwritten, body)
  daemon.retry = daemon.retry or loop.after(RETRY, function()
    if #daemon.unwritten > 0 and not index.write(daemon, function() end) then return end
    daemon.retry:close()
    daemon.retry = nil
    log.info "what runs is written down again"
  end, true)
end

--- One program, as its record tells; inside `index.write`.
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

--- One chain, whose members are written already; inside `index.write`.
---@param manifest table|false|nil  false or nil: there is none any more
---@param options { places: boolean? }?  places: members that were known may have got another
---  priority or proceed-on set
function index.put_chain(daemon, hook_name, manifest, options)
  if manifest and options and options.places then take_places(daemon, hook_name, manifest) end
  daemon.store:put_chain(hook_name, manifest or nil)
end

return index
