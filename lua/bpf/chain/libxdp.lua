-- libxdp's protocol: chains on XDP that xdp-loader and others change too. Who is in such a chain
-- stands in its dispatcher's constants and in pins that all have in one place.

local core = require "bpf.core"
local error_object = require "bpf.error"

local libxdp = {}

local LOCK_TIME <const> = 5000 -- milliseconds
local READ_TRIES <const> = 10
local LAST_KNOWN <const> = 3

--- Versions of the dispatcher that can be written: 2 is what xdp-tools 1.3 to 1.5 understand, 3
--- what 1.6 does. None of them changes another's.
libxdp.versions = { 2, 3 }

---The directory of libxdp's pins.
---@return string
function libxdp.directory()
  return (os.getenv "LIBXDP_BPFFS" or "/sys/fs/bpf") .. "/xdp"
end

---Whether there is a place for its pins.
---@return true?
---@return bpf.error? err
function libxdp.available()
  local root <const> = libxdp.directory():match "^(.*)/xdp$"
  if core.pin.is_bpffs(root) then return true end
  return nil, error_object.new {
    code = "ENOENT",
    message = ("there is no BPF file system at %s, where libxdp has its pins"):format(root),
    advice = ("mount -t bpf bpf %s"):format(root),
  }
end

---Where the members of a dispatcher are pinned, as progN-prog and progN-link.
---@param ifindex integer
---@param id integer  the dispatcher's
---@return string
function libxdp.pins(ifindex, id)
  return ("%s/dispatch-%d-%d"):format(libxdp.directory(), ifindex, id)
end

local function interface_name(ifindex)
  return core.network.name(ifindex) or "interface " .. ifindex
end

local function refuse(code, ifindex, chain, why)
  local iface <const> = interface_name(ifindex)
  return error_object.new {
    code = code,
    message = ("XDP of %s runs a libxdp dispatcher (program %d) %s"):format(iface, chain.id, why),
    advice = ("detach it first: `xdp-loader unload %s --all` or `ip link set dev %s xdp off`")
      :format(iface, iface),
  }
end

-- Why nobody here can write a successor to this one; nil if that can be done.
local function refusal_of(ifindex, chain)
  if chain.version > LAST_KNOWN then
    return refuse("EOPNOTSUPP", ifindex, chain,
      ("of version %d, and this bpfd knows 1 to %d"):format(chain.version, LAST_KNOWN))
  elseif chain.version == 1 then
    return refuse("EOPNOTSUPP", ifindex, chain,
      "of version 1 (xdp-tools before 1.3), which cannot be changed")
  elseif chain.device_bound or chain.mode == "hardware" then
    return refuse("EOPNOTSUPP", ifindex, chain, "that is bound to its device")
  elseif chain.missing then
    return refuse("EBUSY", ifindex, chain, ("without its pins in %s, so that nobody can tell \z
      who is in it"):format(libxdp.pins(ifindex, chain.id)))
  end
end

-- The slots' programs, by their pins; one that is not there is told as `missing`.
local function name_members(ifindex, chain)
  for place, member in ipairs(chain.members) do
    member.pin = ("%s/prog%d-prog"):format(libxdp.pins(ifindex, chain.id), place - 1)
    member.link_pin = ("%s/prog%d-link"):format(libxdp.pins(ifindex, chain.id), place - 1)
    local program <close> = core.program.open_pin(member.pin)
    local info = program and program:info()
    if info then member.id = info.id else chain.missing = true end
    -- without its link a member is in no slot
    if not core.system.exists(member.link_pin) then chain.missing = true end
  end
end

---@class bpf.chain.libxdp.member
---@field id integer?        nil where the pin is gone
---@field priority integer
---@field mask integer
---@field flags integer      BPF_F_XDP_HAS_FRAGS and the like
---@field pin string
---@field link_pin string

---@class bpf.chain.libxdp.chain
---@field id integer         the dispatcher's
---@field mode "native"|"generic"|"hardware"
---@field version integer
---@field members bpf.chain.libxdp.member[]  in running order; none where the version is unknown
---@field missing boolean?   pins of members are gone
---@field refusal bpf.error? why it cannot be changed

local function read_once(ifindex)
  local id, mode = core.network.xdp(ifindex)
  if not id then return nil end
  local program <close> = core.program.open_id(id)
  local found, err
  if program then found, err = core.libxdp.read(program) end
  if err then
    local chain = { id = id, mode = mode, version = 0, members = {} }
    chain.refusal = refuse(err.code, ifindex, chain, "that is damaged")
    return chain
  end
  if not found then return nil end
  local chain = { id = id, mode = mode, version = found.version, members = {},
    device_bound = found.device_bound }
  table.move(found, 1, #found, 1, chain.members)
  name_members(ifindex, chain)
  chain.refusal = refusal_of(ifindex, chain)
  return chain
end

---The chain of libxdp's kind that XDP runs on an interface of this network namespace; nil where
---something else or nothing runs.
---@param ifindex integer
---@return bpf.chain.libxdp.chain?
function libxdp.read(ifindex)
  local chain
  for _ = 1, READ_TRIES do
    chain = read_once(ifindex)
    -- a dispatcher that is being replaced loses its pins while we look
    if not chain or not chain.missing or core.network.xdp(ifindex) == chain.id then break end
  end
  return chain
end

---The interfaces, by number, that somebody has pinned a dispatcher for: not each of them is in this
---network namespace, nor runs.
---@return integer[]
function libxdp.interfaces()
  local seen, list = {}, {}
  for name in pairs(core.pin.list(libxdp.directory()) or {}) do
    local ifindex = math.tointeger(tonumber(name:match "^dispatch%-(%d+)%-%d+$"))
    if ifindex and not seen[ifindex] then
      seen[ifindex] = true
      list[#list + 1] = ifindex
    end
  end
  table.sort(list)
  return list
end

local function pin_members(directory, members, links)
  local good, err = core.pin.mkdir(directory, 448) -- 0700
  for place, member in ipairs(members) do
    if good then
      good, err = member.program:pin(("%s/prog%d-prog"):format(directory, place - 1))
    end
    if good then good, err = links[place]:pin(("%s/prog%d-link"):format(directory, place - 1)) end
  end
  return good, err
end

---Pins the members of a dispatcher that is to be attached. Nothing stays behind of what fails.
---@param ifindex integer
---@param id integer      the dispatcher's
---@param members { program: table }[]
---@param links table[]
---@return true?
---@return bpf.error? err
function libxdp.pin(ifindex, id, members, links)
  local lock <close>, err = core.libxdp.lock(libxdp.directory(), LOCK_TIME)
  if not lock then return nil, err end
  local directory <const> = libxdp.pins(ifindex, id)
  local good
  core.pin.remove_tree(directory)
  good, err = pin_members(directory, members, links)
  if not good then core.pin.remove_tree(directory) end
  return good, err
end

---Whether the pins of a dispatcher are all there.
---@param ifindex integer
---@param id integer
---@param count integer  of members
---@return boolean
function libxdp.is_pinned(ifindex, id, count)
  local directory <const> = libxdp.pins(ifindex, id)
  for place = 0, count - 1 do
    for _, what in ipairs { "prog", "link" } do
      if not core.system.exists(("%s/prog%d-%s"):format(directory, place, what)) then
        return false
      end
    end
  end
  return true
end

---Removes the pins of a dispatcher that does not run any more.
---@param ifindex integer
---@param id integer
---@return true?
---@return bpf.error? err
function libxdp.unpin(ifindex, id)
  local directory <const> = libxdp.pins(ifindex, id)
  if not core.system.exists(directory) then return true end
  local lock <close>, err = core.libxdp.lock(libxdp.directory(), LOCK_TIME)
  if not lock then return nil, err end
  return core.pin.remove_tree(directory)
end

local function has_member(directory, ids)
  for place = 0, core.freplace.slots - 1 do
    local program <close> = core.program.open_pin(("%s/prog%d-prog"):format(directory, place))
    local info = program and program:info()
    if info and ids[info.id] then return true end
  end
  return false
end

---Removes the pins of dispatchers that have one of these programs in them, whoever wrote them, but
---for the one that runs: what is left where an interface went with its chain.
---@param ifindex integer
---@param ids table<integer, boolean>
---@param live integer?
---@return true?
---@return bpf.error? err
function libxdp.unpin_members(ifindex, ids, live)
  local mine <const> = ("^dispatch%%-%d%%-(%%d+)$"):format(ifindex)
  for name in pairs(core.pin.list(libxdp.directory()) or {}) do
    local id = math.tointeger(tonumber(name:match(mine)))
    if id and id ~= live and has_member(libxdp.pins(ifindex, id), ids) then
      local good, err = libxdp.unpin(ifindex, id)
      if not good then return nil, err end
    end
  end
  return true
end

---Puts a dispatcher on an interface, in the place of `old`, as one operation.
---@param ifindex integer
---@param program table
---@param old { id: integer, mode: string }?  nil: nothing runs there
---@param mode "auto"|"native"|"generic"  of a first one
---@return string? mode
---@return bpf.error? err  ESTALE: somebody else was faster
function libxdp.attach(ifindex, program, old, mode)
  return core.libxdp.attach(program, ifindex, old and old.mode or mode, old and old.id or 0)
end

---@param ifindex integer
---@param old { id: integer, mode: string }
---@return true?
---@return bpf.error? err  ESTALE: somebody else was faster
function libxdp.detach(ifindex, old)
  return core.libxdp.detach(ifindex, old.mode, old.id)
end

return libxdp
