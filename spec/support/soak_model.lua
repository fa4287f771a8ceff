-- What should be loaded, kept by whoever asks for it; and whether it is: the daemon's word, its
-- pins and the kernel, each against the model.
local bpf = require "bpf"
local core = require "bpf.core"
local rpc = require "spec.support.rpc"

local model = {}
model.__index = model

---@class soak.program
---@field id integer
---@field name string
---@field type string
---@field iface string?
---@field direction string?
---@field priority integer?
---@field owner integer?    whose maps it shares
---@field label string?     of those that are declared
---@field step string       which step has loaded it: its metadata

---@return table model  empty
function model.new() return setmetatable({ programs = {} }, model) end

---Takes a program in as the daemon tells of it.
---@param program table  of program.load or program.list
function model:add(program)
  local attach <const> = program.attach
  self.programs[program.id] = { id = program.id, name = program.name, type = program.type,
    iface = attach.iface, direction = attach.direction, priority = attach.priority,
    owner = program.map_owner_id or (self.programs[program.id] or {}).owner,
    label = program.label, step = program.metadata.step }
end

function model:remove(id) self.programs[id] = nil end

---Takes out all that is on an interface; what is there of declarations is told.
function model:drop_interface(iface)
  for id, program in pairs(self.programs) do
    if program.iface == iface then self.programs[id] = nil end
  end
end

---Ids, ascending; those alone that `matches` where it is given.
---@param matches? fun(program: soak.program): boolean?
---@return integer[]
function model:ids(matches)
  local ids = {}
  for id, program in pairs(self.programs) do
    if not matches or matches(program) then ids[#ids + 1] = id end
  end
  table.sort(ids)
  return ids
end

local function describe(program)
  return table.concat({ program.id, program.name, program.type, tostring(program.iface),
    tostring(program.direction), tostring(program.priority), tostring(program.label),
    tostring(program.step) }, " ")
end

---What the list and the model do not agree on; nil when they do.
---@param list table[]  of program.list
---@return string?
function model:difference(list)
  local told, complaints = model.new(), {}
  for _, program in ipairs(list) do told:add(program) end
  for id, program in pairs(self.programs) do
    local other <const> = told.programs[id]
    if not other then
      complaints[#complaints + 1] = "not listed: " .. describe(program)
    elseif describe(other) ~= describe(program) then
      complaints[#complaints + 1] = ("listed as %s: %s"):format(describe(other), describe(program))
    end
  end
  for id, program in pairs(told.programs) do
    if not self.programs[id] then
      complaints[#complaints + 1] = "listed too: " .. describe(program)
    end
  end
  return #complaints > 0 and table.concat(complaints, "; ") or nil
end

---After something that was killed: what it may have done is taken as it is, and nothing else.
---@param daemon table
---@param may { added: fun(program: table): boolean?, removed: table<integer, true> }
function model:settle(daemon, may)
  local listed = {}
  for _, program in ipairs(assert(rpc.call(daemon, "program.list")).programs) do
    listed[program.id] = true
    if not self.programs[program.id] and may.added(program) then
      local whole <const> = rpc.call(daemon, "program.get", { id = program.id })
      if whole then self:add(whole) end -- else it has gone meanwhile
    end
  end
  for id in pairs(may.removed) do
    if not listed[id] then self:remove(id) end
  end
end

local function set_of(names)
  local set = {}
  for _, name in ipairs(names) do set[tonumber(name) or name] = true end
  return set
end

local function same_set(what, expected, found)
  for key in pairs(expected) do
    assert(found[key], ("%s: %s is missing"):format(what, key))
  end
  for key in pairs(found) do
    assert(expected[key], ("%s: %s is too many"):format(what, key))
  end
end

-- What is pinned is what should be, and nothing is left of what was tried.
local function check_pins(self, daemon)
  local names = assert(core.system.list(daemon.run_dir .. "/fs/programs"))
  same_set("programs/", set_of(self:ids()), set_of(names))
  same_set("staging/", {}, set_of(core.system.list(daemon.run_dir .. "/fs/staging") or {}))
  local users = {}
  for id, program in pairs(self.programs) do users[program.owner or id], users[id] = true, true end
  for _, name in ipairs(core.system.list(daemon.run_dir .. "/fs/maps") or {}) do
    assert(users[tonumber(name)], ("maps/%s: nobody uses them"):format(name))
  end
end

local function check_kernel(self, daemon)
  for id, program in pairs(self.programs) do
    local opened <close> = assert(bpf.program.open_id(id))
    assert(opened:info().id == id)
    if program.type ~= "xdp" and program.type ~= "tc" then
      local path <const> = ("%s/fs/programs/%d/link"):format(daemon.run_dir, id)
      local link <close> = assert(bpf.link.open_pin(path))
      local info = assert(link:info())
      assert(info.prog_id == id, ("the link of program %d runs %s"):format(id, info.prog_id))
    end
  end
end

local function hooks_of(self)
  local hooks = {}
  for _, id in ipairs(self:ids()) do
    local program <const> = self.programs[id]
    if program.type == "xdp" or program.type == "tc" then
      local key <const> = table.concat({ program.type, program.iface, program.direction }, " ")
      hooks[key] = hooks[key] or { type = program.type, iface = program.iface,
        direction = program.direction, members = {} }
      hooks[key].members[id] = true
    end
  end
  return hooks
end

local function check_chains(self, daemon)
  for key, hook in pairs(hooks_of(self)) do
    local found <const> = rpc.chain(daemon, { type = hook.type, iface = hook.iface,
      direction = hook.direction })
    same_set("the chain " .. key, hook.members, set_of(found))
    local last = 0
    for _, id in ipairs(found) do
      local priority <const> = self.programs[id].priority
      assert(priority >= last, ("the chain %s is out of order at program %d"):format(key, id))
      last = priority
    end
  end
end

-- XDP is on an interface if and only if something of the model is.
local function check_interfaces(self, daemon)
  local wanted, found = {}, {}
  for _, program in pairs(self.programs) do
    if program.type == "xdp" then wanted[program.iface] = true end
  end
  local text <const> = daemon.options.namespace:check { "ip", "-o", "link", "show" }
  for line in text:gmatch "[^\n]+" do
    if line:find("prog/xdp", 1, true) then found[line:match "^%d+: ([^:@]+)"] = true end
  end
  same_set("XDP on interfaces", wanted, found)
end

---Raises what is not as it should be. Nothing may be under way.
---@param daemon table  of spec.support.daemon
function model:check(daemon)
  local list <const> = assert(rpc.call(daemon, "program.list")).programs
  local difference <const> = self:difference(list)
  assert(not difference, difference)
  check_pins(self, daemon)
  check_kernel(self, daemon)
  check_chains(self, daemon)
  check_interfaces(self, daemon)
end

return model
