-- The freplace engine: members are extension programs in the slots of a dispatcher that has
-- libxdp's layout. A member is verified once, against a slot, then put into every new dispatcher.
local core = require "bpf.core"
local error_object = require "bpf.error"
local verdict = require "bpf.verdict"

local freplace = {
  name = "freplace",
  magic = "bpfdfrep",
}

local default_priority <const> = 50 -- libxdp's; stands in the dispatcher for others to read
local TC_ACT_UNSPEC <const>, TC_ACT_OK <const> = -1, 0

local probed = {}

---Whether this kernel loads and attaches extension programs, by trying.
---@param kind "xdp"|"tc"
---@return true?
---@return bpf.error? err
function freplace.available(kind)
  if not probed[kind] then
    local ok, err = core.freplace.probe(kind)
    probed[kind] = { ok = ok, err = err and err:with_advice 'use engine = "fuse"' }
  end
  return probed[kind].ok, probed[kind].err
end

local function check_types(object, program_name)
  if object:btf_bytes() then return true end
  return nil, error_object.new {
    code = "EINVAL",
    message = ("%s has no types (BTF), without which the kernel takes no extension program"):format(
      program_name),
    advice = 'compile the object with -g, or use engine = "fuse"',
  }
end

---Makes the program an extension of a slot. To be called before the object is loaded.
---@param object table
---@param program_name string
---@param hook { type: "xdp"|"tc" }
---@return true?
---@return bpf.error? err
function freplace.prepare(object, program_name, hook)
  local ok, err = freplace.available(hook.type)
  if not ok then return nil, err end
  ok, err = check_types(object, program_name)
  if not ok then return nil, err end
  ok, err = object:as(program_name, hook.type) -- refuses what belongs to another hook
  if not ok then return nil, err end
  local target <close>, slot = core.freplace.open_target(hook.type)
  if not target then return nil, slot end
  return object:as(program_name, "freplace", { fn_name = slot, program = target })
end

-- The kernel keeps the program itself; a record holds what it does not tell.
local record_format <const> = "<c8I4I1s4"
local record_version <const> = 1

---What must be kept beside the loaded program to build with it again.
---@param object table
---@param program_name string
---@param note string
---@return string
function freplace.record(object, program_name, note)
  local section = object.programs[program_name].section
  local has_frags = section:find("^xdp%.frags%f[/\0]") and 1 or 0
  return record_format:pack(freplace.magic, record_version, has_frags, note)
end

---@return { has_frags: boolean, note: string }?
---@return bpf.error? err
local function read_record(record)
  local ok, magic, version, has_frags, note = pcall(string.unpack, record_format, record)
  if not ok or magic ~= freplace.magic then
    return nil, error_object.new { code = "EINVAL", message = "not a freplace member record" }
  end
  if version ~= record_version then
    return nil, error_object.new {
      code = "EINVAL", message = "a member record of another version of bpfd" }
  end
  return { has_frags = has_frags == 1, note = note }
end

---@param record string
---@return string? note
---@return bpf.error? err
function freplace.note(record)
  local fields, err = read_record(record)
  if not fields then return nil, err end
  return fields.note
end

---@class bpf.chain.freplace.build
---@field program table     the dispatcher
---@field called boolean[]  each member is a function of its own here
---@field segments integer  always 1
---@field tail_callers string[]  nobody knows: an extension's instructions are not kept
---@field owners (string|false)[]  of members that somebody else has loaded
---@field links table[]     hold the members in their slots, until pinned and after
local build = {}
build.__index = build
build.__name = "bpf.chain.freplace.build"

---Pins the slots' links, under libxdp's names, but for those of members that are somebody else's.
---Unpinned they end with this process, and the slots are empty: packets pass them by.
---@param directory string
---@return true?
---@return bpf.error? err
function build:pin(directory)
  for place, link in ipairs(self.links) do
    if not self.owners[place] then
      local ok, err = link:pin(("%s/prog%d-link"):format(directory, place - 1))
      if not ok then return nil, err end
    end
  end
  return true
end

---Never: whatever counts would be a second map, and libxdp takes only dispatchers with one.
---@return nil
---@return bpf.error
function build.stops()
  return nil, error_object.new {
    code = "EOPNOTSUPP", message = "the freplace engine does not count what its members do",
    advice = 'use engine = "fuse", which does',
  }
end

---Lets go of the dispatcher and the links; what is pinned or attached stays. A replaced chain's
---last links must outlive the packets that still run through it (bpf.chain.hook's settle).
function build:close()
  self.program:close()
  for _, link in ipairs(self.links) do link:close() end
end
build.__close = build.close

---@class bpf.chain.freplace.member
---@field program table      loaded after `prepare`, or opened again from its pin
---@field mask integer       verdicts after which the next member runs
---@field record string?
---@field priority integer?  told in the dispatcher; the order is the list's
---@field name string?
---@field owner string?      who has loaded it, if that was not bpfd: it has no record, and its
---  mask and its flags stay as they are
---@field flags integer?     of a member with an owner

local function check_length(members)
  local count <const> = #members
  if count == 0 then
    return nil, error_object.new { code = "EINVAL", message = "a chain without members" }
  end
  if count <= core.freplace.slots then return true end
  local theirs
  for _, member in ipairs(members) do theirs = theirs or member.owner end
  return nil, error_object.new {
    code = "E2BIG",
    message = ("%d members are more than the freplace engine's limit of %d on one hook"):format(
      count, core.freplace.slots),
    advice = theirs and ("unload one of them first, or what %s has there"):format(theirs)
      or 'use engine = "fuse", which has no such limit',
  }
end

local BPF_F_XDP_HAS_FRAGS <const> = 1 << 5

local function make_slot(kind, member)
  if member.owner then
    return { program = member.program, mask = member.mask, flags = member.flags,
      priority = member.priority }
  end
  local names, err = verdict.decode(kind, member.mask)
  if not names then
    return nil, err:because("the proceed-on set of " .. tostring(member.name))
  end
  local fields
  fields, err = read_record(member.record)
  if not fields then
    return nil, err:because("reading the record of " .. tostring(member.name))
  end
  return {
    program = member.program, mask = member.mask,
    flags = fields.has_frags and BPF_F_XDP_HAS_FRAGS or 0,
    priority = member.priority or default_priority,
  }
end

---Loads a dispatcher for these members, in running order, and puts them into its slots.
---@param hook { type: "xdp"|"tc" }
---@param members bpf.chain.freplace.member[]
---@param options? { tc_end: "next"|"ok"|nil, version: 2|3|nil } TC: what a packet gets that all let
---  proceed; XDP: the dispatcher's version
---@return bpf.chain.freplace.build?
---@return bpf.error? err
function freplace.build(hook, members, options)
  local ok, err = check_length(members)
  if not ok then return nil, err end
  local slots, called, owners = {}, {}, {}
  for place, member in ipairs(members) do
    slots[place], err = make_slot(hook.type, member)
    if not slots[place] then return nil, err end
    called[place], owners[place] = true, member.owner or false
  end
  local finish = options and options.tc_end == "ok" and TC_ACT_OK or TC_ACT_UNSPEC
  local program, links = core.freplace.build(hook.type, slots, finish,
    options and options.version)
  if not program then return nil, links end
  return setmetatable({
    program = program, links = links, called = called, segments = 1, tail_callers = {},
    owners = owners,
  }, build)
end

return freplace
