-- The programs of a declaration, one for each place where one is wanted; and those that run.

local bpf = require "bpf"
local error_object = require "bpf.error"
local declaration = require "bpf.declaration"

local instances = {}

local function copy(attach, iface)
  local result = {}
  for key, value in pairs(attach) do result[key] = value end
  result.iface = iface
  return result
end

local function instance_of(name, entry, iface)
  local attach <const> = entry.attach
  return {
    label = entry.label, name = entry.name, digest = entry.digest,
    path = entry.path or entry.image_url,
    global = entry.global, metadata = entry.metadata, persist = entry.persist,
    map_owner = entry.map_owner, files = entry.files, attach = copy(attach, iface or attach.iface),
    pattern = declaration.is_pattern(attach.iface) and attach.iface or nil,
    place = declaration.place(name, entry),
  }
end

local function matching(daemon, pattern)
  local names = {}
  for _, interface in pairs(daemon.interfaces.known) do
    if declaration.matches(pattern, interface.name) then names[#names + 1] = interface.name end
  end
  table.sort(names)
  return names
end

-- Interfaces of other namespaces are looked up by the job.
local function check_interface(name, entry)
  local attach <const> = entry.attach
  if not attach.iface or attach.netns or bpf.network.index(attach.iface) then return true end
  return nil, error_object.new { code = "ENODEV", message = ("%s: there is no interface %s"):format(
    declaration.place(name, entry), attach.iface) }
end

--- What a declaration wants, in its order.
---@param daemon table
---@param name string
---@param entries bpf.declared_program[]  with digest, and the files that came with them
---@param options { absent: boolean? }?  absent: an interface that is not there is no error
---@return bpfd.instance[]? wanted, bpf.error? err
function instances.wanted(daemon, name, entries, options)
  local wanted = {}
  for _, entry in ipairs(entries) do
    if declaration.is_pattern(entry.attach.iface) then
      for _, iface in ipairs(matching(daemon, entry.attach.iface)) do
        table.insert(wanted, instance_of(name, entry, iface))
      end
    else
      local good, err = check_interface(name, entry)
      if good then
        table.insert(wanted, instance_of(name, entry))
      elseif not (options and options.absent) then
        return nil, err
      end
    end
  end
  return wanted
end

--- What runs of it.
---@param daemon table
---@param name string
---@return bpfd.declared_row[]
function instances.running(daemon, name)
  local rows = daemon.store:declared(name)
  for _, row in ipairs(rows) do
    local attach <const> = row.note.attach
    row.label, row.has_place = row.note.label, attach.iface ~= nil
    row.iface = row.ifindex and bpf.network.name(row.ifindex) or attach.netns and attach.iface
      or nil
  end
  return rows
end

return instances
