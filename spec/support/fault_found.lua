-- What there is after a fault: whether what is listed, pinned and run is the same; and what it is.
local uv = require "luv"
local bpf = require "bpf"
local probe = require "spec.support.probe"
local process = require "spec.support.process"
local rpc = require "spec.support.rpc"

local PORT <const> = 7007

local found = {}

-- What is pinned, each of which must open and be what its name says.
local function check_pins(self, listed)
  local ids, there = {}, 0
  for _, program in ipairs(listed) do ids[program.id] = true end
  local scan = assert(uv.fs_scandir(self.served.run_dir .. "/fs/programs"))
  for name in function() return uv.fs_scandir_next(scan) end do
    local program <close> = assert(bpf.program.open_pin(
      ("%s/fs/programs/%s/program"):format(self.served.run_dir, name)))
    local id <const> = program:info().id
    assert(tonumber(name) == id and ids[id], "what is pinned is not listed: " .. name)
    there = there + 1
  end
  assert(there == #listed, "more is listed than pinned")
end

-- Every listed member of a chain is in one, and the chain is what its hook runs.
local function check_chains(self, listed)
  local in_chains, present = {}, {}
  for _, program in ipairs(listed) do present[program.id] = program.type end
  for _, chain in ipairs(assert(rpc.call(self.served, "chain.list")).chains) do
    for _, member in ipairs(chain.members) do
      assert(present[member.id], "a member is not listed: " .. member.id)
      in_chains[member.id] = true
    end
  end
  for id, kind in pairs(present) do
    assert(kind ~= "xdp" and kind ~= "tc" or in_chains[id],
      "a listed program is in no chain: " .. id)
  end
end

-- How many events a program has counted, of the objects daemon.o and probe.o.
local function counted(program)
  local path <const> = program.map_pin_path .. "/"
  local map <close> = assert(bpf.map.open_pin(path .. "hits") or bpf.map.open_pin(path .. "events"))
  return (string.unpack("=I8", assert(map:lookup(string.pack("=I4", 0)))))
end

-- Each program meets the packet, or the call, and meets it once; those that share maps count in the
-- same one.
local function check_events(self, programs)
  local wanted = {}
  for at, program in ipairs(programs) do
    wanted[at] = counted(program) + #program.map_used_by
  end
  assert(uv.udp_try_send(self.sender, "bpfd spec packet", self.pair.near_address, PORT))
  probe.trigger(1)
  for at, program in ipairs(programs) do
    local function is_met() return counted(program) >= wanted[at] end
    process.eventually(is_met, 1000)
    assert(counted(program) == wanted[at], ("of an event, program %d (%s) has met %d"):format(
      program.id, program.attach.type,
      counted(program) - wanted[at] + #program.map_used_by))
  end
end

local has_chain <const> = { xdp = true, tc = true }

-- What a user would call the same: programs by hook, in order, without their numbers. Programs with
-- a link of their own are each a hook.
local function picture(programs)
  local hooks = {}
  for _, program in ipairs(programs) do
    local attach <const> = program.attach
    local hook <const> = ("%s %s %s"):format(attach.type, attach.direction or "",
      not has_chain[attach.type] and program.label or "")
    hooks[hook] = hooks[hook] or {}
    table.insert(hooks[hook], ("%03d %s %s %s %s%s"):format(attach.position or 0,
      attach.priority or "", program.name, program.label or "", (program.metadata or {}).v or "",
      #program.map_used_by > 1 and " shares maps of " .. #program.map_used_by or ""))
  end
  for hook, list in pairs(hooks) do
    table.sort(list)
    hooks[hook] = table.concat(list, "\n")
  end
  return hooks
end

---What is listed, once it equals what is pinned and what runs; a daemon may have work to do. A
---packet and a call prove it.
---@param self { served: table, sender: any, pair: table }
---@return table<string, string>  what there is on each hook
function found.look(self)
  local good, result
  process.eventually(function()
    good, result = pcall(function()
      local listed, programs = assert(rpc.call(self.served, "program.list")).programs, {}
      check_pins(self, listed)
      check_chains(self, listed)
      for at, program in ipairs(listed) do
        programs[at] = assert(rpc.call(self.served, "program.get", { id = program.id }))
      end
      check_events(self, programs)
      return picture(programs)
    end)
    return good
  end, 3000)
  if not good then error(result, 0) end
  return result
end

local function same(one, other)
  for hook, text in pairs(one) do
    if other[hook] ~= text then return false end
  end
  for hook in pairs(other) do
    if not one[hook] then return false end
  end
  return true
end

-- Each hook is as it was or as it was to become.
local function is_of_both(now, old, new)
  for _, all in ipairs { old, new, now } do
    for hook in pairs(all) do
      if now[hook] ~= old[hook] and now[hook] ~= new[hook] then return false end
    end
  end
  return true
end

local function text_of(hooks)
  local lines = {}
  for hook, text in pairs(hooks) do lines[#lines + 1] = hook .. ":\n" .. text end
  table.sort(lines)
  return table.concat(lines, "\n")
end

---What a request leaves that was said to be done, or refused by the daemon; or of which nothing is
---known: each hook with what it had, or with what it was to have.
---@param now table<string, string>  by `look`
---@param told "done"|"refused"|nil
---@param old table<string, string>
---@param new table<string, string>
function found.check(now, told, old, new)
  local good, why
  if told == "done" then
    good, why = same(now, new), "it was said to be done"
  elseif told == "refused" then
    good, why = same(now, old), "it was said to have failed"
  else
    good, why = is_of_both(now, old, new), "it is neither old nor new"
  end
  if good then return end
  error(("%s; there is:\n%s\nthere was:\n%s\nthere was to be:\n%s"):format(why, text_of(now),
    text_of(old), text_of(new)), 0)
end

return found

