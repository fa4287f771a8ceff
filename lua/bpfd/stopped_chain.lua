-- A chain of one hook that runs nowhere, in a job: why, and what is to become of its members.
-- Whether it has ended by our hand or by somebody else's is told by marks of ours
-- (tree.mark_leaving), by the index, and by the interface's identity; it is never guessed.

local bpf = require "bpf"
local chain_state = require "bpfd.chain_state"
local place = require "bpfd.place"
local shared_chain = require "bpfd.shared_chain"
local tree = require "bpfd.tree"

local stopped_chain = {}

---@class bpfd.known  what the index has
---@field programs table<integer, table>  rows of store:known_programs
---@field chains table<string, table>     manifests

-- One look at one hook.
---@class bpfd.chain_look
---@field dirs table
---@field name string        of the hook
---@field hook table?        nil: it cannot be reached
---@field known bpfd.known
---@field findings bpfd.findings
---@field state bpfd.chain_state

--- What a hook is called in sentences.
---@param attach { type: string, iface: string?, ifindex: integer?, direction: string? }
---@return string
function stopped_chain.title(attach)
  local iface <const> = attach.iface or "interface " .. tostring(attach.ifindex)
  local side <const> = attach.direction and " " .. attach.direction or ""
  return ("%s%s %s"):format(attach.type, side, iface)
end

--- The same, of a manifest that may be missing.
function stopped_chain.title_of(look, manifest)
  return manifest and stopped_chain.title(manifest) or look.name
end

local function ids_of(members)
  local ids = {}
  for _, member in ipairs(members) do
    if not member.owner then table.insert(ids, member.id) end
  end
  return ids
end

local function stays(dirs, id)
  return tree.is_pinned(dirs, id) and not tree.is_leaving(dirs, id)
end

--- Those that are not to leave, and can be attached again.
function stopped_chain.staying_members(dirs, manifest)
  local members = {}
  for _, member in ipairs(manifest.members) do
    if member.owner or stays(dirs, member.id) then table.insert(members, member) end
  end
  return members
end

--- Ids of programs that the index has on this hook, and this manifest not.
---@return integer[]
function stopped_chain.absent(look, manifest)
  local present, absent = {}, {}
  for _, member in ipairs(manifest and manifest.members or {}) do present[member.id] = true end
  for id, row in pairs(look.known.programs) do
    if row.hook == look.name and not present[id] and stays(look.dirs, id) then
      table.insert(absent, id)
    end
  end
  table.sort(absent)
  return absent
end

--- A manifest of the index for a chain whose own cannot be had.
function stopped_chain.copy_of(manifest)
  local copy = {}
  for key, value in pairs(manifest) do copy[key] = value end
  copy.members, copy.head = {}, nil
  for place_of, member in ipairs(manifest.members) do copy.members[place_of] = member end
  return copy
end

-- Whether the interface is the one that its members were loaded on.
local function is_same_interface(look, manifest)
  for _, member in ipairs(manifest.members) do
    local row <const> = look.known.programs[member.id]
    local note <const> = not member.owner and not row and tree.note(look.dirs, member.id)
    local identity <const> = row and row.interface_id or note and note.interface_id
    if identity then
      local is_same, err = place.is_same_interface(identity, manifest.ifindex)
      if is_same == nil then error(err) end
      return is_same
    end
  end
  return false
end

--- Nothing of ours is there, nor is to be.
function stopped_chain.forget(look)
  return chain_state.forget(look.dirs, look.name, look.state.live)
end

-- Nothing that has been in force is here: what a change left that died, and the index if it knows
-- more.
local function tidy_away(look)
  if not tree.exists(look.dirs:chain(look.name)) then return nil end
  look.findings:add({ code = "attempt.left", subject = look.name,
    text = "a change that died has left pins of a chain that does not run",
    repair = "remove them" }, function() return stopped_chain.forget(look) end)
  return nil
end

--- Removes what is pinned of chains of the hook's that are not in force.
function stopped_chain.tidy_others(look)
  local state <const>, others = look.state, 0
  for _, id in ipairs(tree.ids(look.dirs:chain(look.name))) do
    if id ~= state.id then others = others + 1 end
  end
  local function drop()
    return chain_state.drop_others(look.dirs, look.name, state.id, state.id == state.live)
  end
  if others > 0 then
    look.findings:add({ code = "attempt.left", subject = look.name,
      text = ("pins of %d chains are left that are not in force"):format(others),
      repair = "remove them" }, drop)
  elseif look.findings.mends then
    drop()
  end
end

local function is_gone(look, manifest)
  if look.hook then return not is_same_interface(look, manifest) end
  if look.state.severed_link then return true end
  if not look.state.id or manifest.engine ~= "fuse" then return false end
  local head <close>, err = bpf.program.open_id(look.state.id)
  return not head and err.code == "ENOENT"
end

--- Tells of a chain that runs nowhere, and not by our hand: its interface is gone, or somebody has
--- detached it.
function stopped_chain.tell(look, manifest)
  local title <const> = stopped_chain.title_of(look, manifest)
  local ids <const> = ids_of(manifest.members)
  local list <const> = table.concat(ids, ", ")
  if is_gone(look, manifest) then
    return look.findings:add { code = "interface.gone", subject = title,
      text = ("the interface is gone, and with it what ran there: %s"):format(list),
      repair = "forget them", action = { kind = "drop", hook = look.name, ids = ids } }
  elseif not look.hook then
    return nil -- out of sight, it may well run
  end
  local other <const> = manifest.type == "xdp" and bpf.network.xdp(manifest.ifindex)
  if other then
    manifest.foreign = other.prog_id
    return look.findings:add { code = "chain.displaced", subject = title,
      text = ("somebody has detached the chain, and program %d, which is not ours, is in its \z
        place; these do not run: %s. Detach that one first, with the tool that attached it")
        :format(other.prog_id, list) }
  end
  look.findings:add { code = "chain.detached", subject = title,
    text = ("somebody has detached the chain; its members do not run: %s"):format(list),
    repair = "attach it again", action = { kind = "attach", hook = look.name, ids = ids } }
end

--- Looks at one.
---@param look bpfd.chain_look
---@return table? manifest  as of chain_examination.look
function stopped_chain.look(look)
  local state <const>, known <const> = look.state, look.known.chains[look.name]
  local manifest = state.manifest or known and stopped_chain.copy_of(known)
  if not manifest then return tidy_away(look) end
  local was_in_force <const> = state.last or known
  if not was_in_force and look.hook then return tidy_away(look) end
  manifest.members = stopped_chain.staying_members(look.dirs, manifest)
  if shared_chain.count_own(manifest.members) == 0 then return tidy_away(look) end
  manifest.stopped = state.id
  -- out of sight, any of a shared hook's chains may be what runs
  if look.hook or not manifest.shared then stopped_chain.tidy_others(look) end
  if was_in_force then stopped_chain.tell(look, manifest) end
  -- what runs there now is not what has these pins
  if look.hook and look.findings.mends then shared_chain.drop_pins(manifest, state.id, false) end
  return manifest
end

return stopped_chain
