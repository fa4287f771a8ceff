-- The fuse engine: all members of a chain become one program (core/chain/fuse.h), verified behind
-- the scenes.

local core = require "bpf.core"
local verdict = require "bpf.verdict"

local fuse = { name = "fuse", magic = "bpfdfuse" }

-- A program that cannot be moved into another one can still run beside others.
local another_engine <const> = 'engine = "freplace" for this interface in bpfd.lua runs members \z
  as programs of their own, where the kernel allows extension programs'

---Says what to do about a member that cannot be fused; other errors are not about members.
local function advise(err)
  if err.log or err.code == "EOPNOTSUPP" or err.code == "E2BIG" then
    return err:with_advice(another_engine)
  end
  return err
end

local TC_ACT_UNSPEC <const>, TC_ACT_OK <const>, XDP_PASS <const> = -1, 0, 2

---Whether this kernel lets the engine work; there is none with XDP or TC programs that does not.
---@param _ "xdp"|"tc"
---@return true
function fuse.available(_)
  return true
end

---Makes a program of an opened object loadable as a member: to be called before `object:load()`.
---Its siblings get the same type where they have none of their own, because it may tail-call them,
---and since 6.18 a program array takes only programs of one expected attach type.
---@param object table
---@param program_name string
---@param hook table
---@return true|nil
---@return bpf.error? err
function fuse.prepare(object, program_name, hook)
  local ok, err = object:as(program_name, hook.type)
  if not ok then return nil, err end
  for name, program in pairs(object.programs) do
    if name ~= program_name and (not program.type or program.type == hook.type) then
      object:as(name, hook.type)
    end
  end
  return true
end

---What has to be kept of a loaded program so that it can be fused again, in any process: keep it
---where it lives and dies with the program (bpf.map.blob, bound to it).
---@param object table
---@param program_name string
---@param note? string the caller's own bytes, kept in the record
---@return string? record
---@return bpf.error? err
function fuse.record(object, program_name, note)
  local prepared, err = object:prepared(program_name)
  if not prepared then return nil, err end
  local record
  record, err = core.chain.record(prepared, note or "")
  if not record then return nil, advise(err) end
  return record
end

---@param record string
---@return string? note
---@return bpf.error? err
function fuse.note(record)
  return core.chain.note(record)
end

---@class bpf.chain.build
---@field program table the program for the hook
---@field segments integer programs in the line
---@field called boolean[] for each member: called as a function, or (false) inlined
---@field tail_callers string[] names of the members that tail-call: they share a packet's 33
local build = {}
build.__index = build

---Pins what the running chain needs besides its link. Without it, a chain of several segments stops
---when the last descriptor of it is closed.
---@param directory string exists, on a BPF file system
---@return true|nil
---@return bpf.error? err
function build:pin(directory)
  return self.handle:pin(directory)
end

--- How many packets each position has seen the last of.
---@return table? stops
---@return bpf.error?
function build:stops()
  return self.handle:stops()
end

function build:close()
  self.program:close()
  self.handle:close()
end

build.__close = build.close

local function end_verdict(hook, options)
  if hook.type == "xdp" then return XDP_PASS end
  return options.tc_end == "ok" and TC_ACT_OK or TC_ACT_UNSPEC
end

local function check_members(kind, members)
  for _, member in ipairs(members) do
    local names, err = verdict.decode(kind, member.mask)
    if not names then return nil, err:because("the proceed-on set of " .. tostring(member.name)) end
  end
  return true
end

local function tail_callers(members)
  local names, seen = {}, {}
  for _, member in ipairs(members) do
    if not seen[member.record] and core.chain.describe(member.record).tail_calls then
      names[#names + 1] = member.name
    end
    seen[member.record] = true
  end
  return names
end

---Builds and loads a chain; nothing runs it yet, and after an error nothing of it is left.
---@param hook table { type = "xdp"|"tc" }
---@param members table[] in running order: { name, mask, program, record, maps = { [id] = map } }
---@param options? { tc_end: "next"|"ok"|nil }
---@return bpf.chain.build? build
---@return bpf.error? err
function fuse.build(hook, members, options)
  local ok, err = check_members(hook.type, members)
  if not ok then return nil, err end
  local handle
  handle, err = core.chain.build(hook.type, end_verdict(hook, options or {}), members)
  if not handle then return nil, advise(err) end
  local program
  program, err = handle:head()
  if not program then
    handle:close()
    return nil, err
  end
  local layout, called = handle:layout(), {}
  for _, segment in ipairs(layout) do
    table.move(segment.called, 1, segment.count, #called + 1, called)
  end
  return setmetatable({
    handle = handle, program = program, segments = #layout, called = called,
    tail_callers = tail_callers(members),
  }, build)
end

return fuse
