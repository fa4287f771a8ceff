-- Chains that libxdp changes too, in a job. Who is in one is told by the dispatcher that runs, and
-- bpfd's own pins and records tell which of them are bpfd's.

local bpf = require "bpf"
local error_object = require "bpf.error"
local libxdp = require "bpf.chain.libxdp"
local verdict = require "bpf.verdict"
local tree = require "bpfd.tree"

local shared_chain = {}

shared_chain.owner = "libxdp"

--- Members that bpfd has loaded.
---@return integer
function shared_chain.count_own(members)
  local count = 0
  for _, member in ipairs(members) do
    if not member.owner then count = count + 1 end
  end
  return count
end

local DISPATCHER_RETURN <const> = 1 << 31

local function member_in(manifest, id)
  for _, member in ipairs(manifest and manifest.members or {}) do
    if member.id == id then return member end
  end
end

-- A dispatcher proceeds on dispatcher_return always; whether that was asked for, bpfd remembers.
local function mask_of(dirs, member, before)
  local known = member_in(before, member.id)
  local note <const> = not known and tree.note(dirs, member.id)
  local mask <const> = known and known.mask
    or note and verdict.encode("xdp", note.attach.proceed_on)
  if mask and mask & ~DISPATCHER_RETURN == member.mask then return mask end
  return member.mask | DISPATCHER_RETURN
end

-- A running member in the words of a manifest.
local function member_of(dirs, member, before)
  local found = { id = member.id, priority = member.priority, mask = member.mask }
  if tree.exists(dirs:program(member.id) .. "/program") then
    found.mask = mask_of(dirs, member, before)
  else
    found.owner, found.flags = shared_chain.owner, member.flags
  end
  return found
end

-- Whether its program can still be put into a dispatcher.
local function is_there(dirs, member)
  if not member.owner then return tree.exists(dirs:program(member.id) .. "/program") end
  local program <close> = bpf.program.open_id(member.id)
  return program ~= nil
end

-- Without their pins the members are those that bpfd remembers and that are still there.
local function remembered_members(dirs, before)
  local members, lost = {}, {}
  for _, member in ipairs(before and before.members or {}) do
    table.insert(is_there(dirs, member) and members or lost, member)
  end
  return members, lost
end

local function running_members(dirs, running, before)
  local members = {}
  for place, member in ipairs(running.members) do
    members[place] = member_of(dirs, member, before)
  end
  return members
end

--- Completes the state of a hook where a chain of libxdp's kind runs.
---@param dirs table
---@param state bpfd.chain_state
---@param running table  as bpf.chain.libxdp reads it
---@param ifindex integer
---@param before table?  the manifest of the last chain that bpfd knew there
function shared_chain.complete(dirs, state, running, ifindex, before)
  state.shared, state.live, state.refusal = running, running.id, running.refusal
  local members
  if running.missing then
    members, state.lost = remembered_members(dirs, before)
    -- whoever has lost the pins runs no more: the rest needs a dispatcher that is whole
    if shared_chain.count_own(members) > 0 then state.refusal = nil end
  else
    members = running_members(dirs, running, before)
  end
  state.manifest = { engine = "freplace", type = "xdp", ifindex = ifindex, shared = "libxdp",
    segments = 1, dispatcher_version = running.version, members = members,
    iface = before and before.iface, netns = before and before.netns }
  return state
end

--- Opens a member that somebody else has loaded.
---@return table? member, bpf.error? err
function shared_chain.open_member(member)
  local program <const> = bpf.program.open_id(member.id)
  if not program then
    return nil, error_object.new { code = "ESTALE",
      message = "somebody else has unloaded it by now" }
  end
  return { id = member.id, name = "program " .. member.id, owner = member.owner,
    mask = member.mask, flags = member.flags, priority = member.priority, program = program }
end

---@class bpfd.shared_chain.swap the operations of a chain's change, with libxdp's pins around them
---@field hook table
---@field running table?  as bpf.chain.libxdp reads it
---@field build table?    with head and members; nil where the chain is taken away
local swap = {}
swap.__index = swap

---@param hook table
---@param state bpfd.chain_state
function shared_chain.swap(hook, state)
  return setmetatable({ hook = hook, running = state.shared }, swap)
end

--- What has been built.
---@param build table
---@param head integer
---@param members table[]  opened
function swap:take(build, head, members)
  self.build, self.head, self.members = build, head, members
end

-- `xdp-loader clean` in another namespace takes pins for garbage that are not, yet or at all.
local function pin_again(self)
  if libxdp.is_pinned(self.hook.ifindex, self.head, #self.members) then return true end
  return libxdp.pin(self.hook.ifindex, self.head, self.members, self.build.links)
end

--- The one operation; pins stand before it.
---@return string|true|nil mode, bpf.error? err
function swap:commit()
  local ifindex <const>, running <const> = self.hook.ifindex, self.running
  if not self.build then
    if not running then return true end
    return libxdp.detach(ifindex, running)
  end
  local good, err = true, nil
  if not running then good, err = self.hook:check_free() end
  if good then good, err = libxdp.pin(ifindex, self.head, self.members, self.build.links) end
  if not good then return nil, err end
  self.mode, err = libxdp.attach(ifindex, self.build.program, running, self.hook.mode)
  if not self.mode then
    libxdp.unpin(ifindex, self.head)
    return nil, err
  end
  pin_again(self)
  return self.mode
end

--- What ran before runs again.
---@param before table?  its program
---@return true? ok, bpf.error? err
function swap:undo(before)
  local ifindex <const>, running <const> = self.hook.ifindex, self.running
  local good, err = true, nil
  if not self.build then
    if running then good, err = libxdp.attach(ifindex, before, nil, running.mode) end
    return good and true, err
  end
  local now <const> = { id = self.head, mode = self.mode }
  if running then
    good, err = libxdp.attach(ifindex, before, now)
  else
    good, err = libxdp.detach(ifindex, now)
  end
  if good then good, err = libxdp.unpin(ifindex, self.head) end
  return good, err
end

--- The pins of a chain that has been taken away go; those of one that was replaced go with its
--- successor's manifest as a guide (drop_pins), also if the job dies here.
---@return true? ok, bpf.error? err
function swap:finish()
  if self.build or not self.running then return true end
  return libxdp.unpin(self.hook.ifindex, self.running.id)
end

--- Removes what libxdp's directory has of a chain that is not in force: its own pins, or, of the
--- one in force, those of the dispatcher that it has replaced.
---@param manifest table?
---@param id integer  the chain's head
---@param in_force boolean
---@return true? ok, bpf.error? err
function shared_chain.drop_pins(manifest, id, in_force)
  if not manifest or not manifest.shared then return true end
  if not in_force then return libxdp.unpin(manifest.ifindex, id) end
  if manifest.replaces then return libxdp.unpin(manifest.ifindex, manifest.replaces) end
  return true
end

--- Removes what libxdp's directory has of programs that leave a hook where nothing runs them.
shared_chain.drop_strays = libxdp.unpin_members

local function pin_own_links(running, members, directory)
  for place, member in ipairs(members) do
    if not member.owner then
      local link <close>, err = bpf.link.open_pin(running.members[place].link_pin)
      local good
      if link then good, err = link:pin(("%s/prog%d-link"):format(directory, place - 1)) end
      if not good then return nil, err end
    end
  end
  return true
end

--- Makes a chain of bpfd's own of a dispatcher that somebody else has put in the place of bpfd's:
--- its directory, with the manifest and the links of bpfd's members.
---@return true? ok, bpf.error? err
function shared_chain.adopt(dirs, hook_name, state)
  local directory <const> = ("%s/%d"):format(dirs:chain(hook_name), state.live)
  local good, err = tree.make(directory)
  if good then good, err = pin_own_links(state.shared, state.manifest.members, directory) end
  if good then good, err = bpf.chain.manifest.pin(state.manifest, directory) end
  if good then
    state.id, state.directory = state.live, directory
    return true
  end
  bpf.pin.remove_tree(directory)
  return nil, err
end

--- Whether a first chain on an interface is libxdp's too, by the interface's settings.
---@param settings table
---@param kind "xdp"|"tc"
---@param engine_name string
---@return boolean? is_shared, bpf.error? err
function shared_chain.is_wanted(settings, kind, engine_name)
  if kind ~= "xdp" or engine_name ~= "freplace" or settings.libxdp == "never" then return false end
  if settings.libxdp == "auto" and settings.engine ~= "freplace" then return false end
  local good, err = libxdp.available()
  if good then return true end
  if settings.libxdp == "share" then return nil, err end
  return false
end

--- Why the settings of an interface do not let bpfd join the chain that runs there; nil if they do.
---@return bpf.error?
function shared_chain.forbids(settings, iface, state)
  if settings.libxdp == "share" then return nil end
  local because <const> = settings.libxdp == "never" and 'libxdp = "never"'
    or settings.engine == "fuse" and 'engine = "fuse"' or nil
  if not because then return nil end
  return error_object.new { code = "EBUSY",
    message = ("XDP of %s runs a libxdp dispatcher (program %d), which this bpfd is told not to \z
      join (%s)"):format(iface, state.live, because),
    advice = ('set engine = "auto" and libxdp = "auto" for this interface in bpfd.lua, or detach \z
      it: `xdp-loader unload %s --all`'):format(iface) }
end

return shared_chain
