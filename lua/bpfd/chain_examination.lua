-- The chain of one hook, in a job: what is pinned for it, against what runs there and what the
-- index knows.

local bpf = require "bpf"
local chain_change = require "bpfd.chain_change"
local chain_state = require "bpfd.chain_state"
local place = require "bpfd.place"
local shared_chain = require "bpfd.shared_chain"
local stopped_chain = require "bpfd.stopped_chain"
local tree = require "bpfd.tree"
local uv = require "luv"

local title_of <const> = stopped_chain.title_of

local MOST_WAITED <const> = 1000 * 1000000 -- nanoseconds that the kernel may take to end a link

local chain_examination = {}

local function tell_absent(look, manifest)
  for _, id in ipairs(stopped_chain.absent(look, manifest)) do
    look.findings:add { code = "member.detached",
      subject = ("program %d (%s)"):format(id, look.known.programs[id].name),
      text = ("somebody has taken it out of the chain of %s; it does not run"):format(
        title_of(look, manifest)),
      repair = "put it back", action = { kind = "attach", hook = look.name, ids = { id } } }
  end
end

local function renew(look)
  local state <const> = look.state
  local change, err = chain_change.prepare(look.dirs,
    { name = look.name, hook = look.hook, enter = function() return true end }, state,
    state.manifest, {})
  if not change then return nil, err end
  local good
  good, err = change:commit()
  if not good then
    change:discard()
    return nil, err
  end
  bpf.chain.settle()
  good, err = change:finish()
  if good then state.live, state.id = good.head, good.head end
  return good, err
end

-- libxdp lets an only member run without the test of its verdict: not what ours were promised.
local function runs_untested(state)
  local members <const> = state.manifest.members
  return state.id ~= state.live and #members == 1 and not members[1].owner
end

-- Somebody else's chain is where ours was. Ours is remembered, if its members are still wanted.
local function shared_displaced(look)
  local known <const> = look.known.chains[look.name]
  local ids <const> = stopped_chain.absent(look, nil)
  if not known or #ids == 0 then
    if look.findings.mends then stopped_chain.forget(look) end
    return nil
  end
  local manifest <const> = stopped_chain.copy_of(known)
  manifest.members = stopped_chain.staying_members(look.dirs, manifest)
  manifest.foreign, manifest.stopped = look.state.live, known.head or known.stopped
  stopped_chain.tell(look, manifest)
  return manifest
end

-- A chain that somebody else may have changed: bpfd's own pins follow. What has lost its pins is
-- put in order.
local function shared(look)
  local state <const> = look.state
  local manifest <const>, good, err = state.manifest, true, nil
  manifest.members = tree.living_members(look.dirs, manifest)
  manifest.xdp_mode = state.shared.mode
  if shared_chain.count_own(manifest.members) == 0 then return shared_displaced(look) end
  if state.shared.missing or runs_untested(state) then
    local function mend()
      good, err = renew(look)
      manifest.is_mended = good and state.shared.missing
      return good, err
    end
    if state.shared.missing then
      look.findings:add({ code = "pin.missing", subject = title_of(look, manifest),
        text = "pins of libxdp's for its dispatcher are gone",
        repair = "put a new dispatcher in its place" }, mend)
    elseif look.findings.mends then
      mend()
    end
  elseif state.id ~= state.live and look.findings.mends then
    good, err = shared_chain.adopt(look.dirs, look.name, state)
  end
  if not good then manifest.trouble = tostring(err) end
  manifest.head = state.live
  stopped_chain.tidy_others(look)
  tell_absent(look, manifest)
  return manifest
end

-- Nobody can read who is in it: left as it is, with all that it may need.
local function unreadable(look)
  local known <const> = look.known.chains[look.name]
  look.findings:add { code = "chain.unreadable", subject = title_of(look, known),
    text = ("who is in the chain cannot be read: %s. Use the bpfd that has written it, or detach \z
      it and load its members again"):format(
        look.state.unreadable and look.state.unreadable.message or "its manifest is gone") }
  return known, true
end

local function write_manifest(look, manifest)
  local directory <const> = ("%s/%d"):format(look.dirs:chain(look.name), look.state.live)
  local good, err = tree.make(look.dirs:chain(look.name))
  if good then good, err = tree.make(directory) end
  if good then good, err = bpf.chain.manifest.pin(manifest, directory) end
  return good, err
end

-- Pins of the chain itself, without which parts of it may end.
local function missing_pin(look, manifest)
  local names = {}
  if manifest.engine == "fuse" then
    names[1] = "counters"
    for nth = 2, manifest.segments or 1 do table.insert(names, "segment-" .. nth) end
  else
    for nth, member in ipairs(manifest.members) do
      if not member.owner then table.insert(names, ("prog%d-link"):format(nth - 1)) end
    end
  end
  for _, name in ipairs(names) do
    local path <const> = ("%s/%d/%s"):format(look.dirs:chain(look.name), look.state.live, name)
    if not tree.exists(path) then return path end
  end
  return nil
end

-- A chain that is built anew loses members whose programs are lost: until these are unloaded, it is
-- left as it runs.
local function rebuilding(look, manifest)
  for _, member in ipairs(manifest.members) do
    if not member.owner and not tree.is_pinned(look.dirs, member.id) then return nil end
  end
  return { kind = "attach", hook = look.name, ids = {} }
end

local function tell_pin(look, manifest, text, mend)
  local action <const> = rebuilding(look, manifest)
  look.findings:add({ code = "pin.missing", subject = title_of(look, manifest), text = text,
    repair = action and "build the chain anew" or mend and "pin it again" or nil,
    action = action }, mend)
end

local function in_force(look)
  local state <const>, known <const> = look.state, look.known.chains[look.name]
  local manifest = state.manifest
  if not manifest then
    if not known or known.head ~= state.live then return unreadable(look) end
    manifest = stopped_chain.copy_of(known)
    tell_pin(look, manifest, "the manifest of the chain is gone",
      function() return write_manifest(look, manifest) end)
    state.id = state.live
  else
    local path <const> = missing_pin(look, manifest)
    if path then tell_pin(look, manifest, path .. " is gone") end
  end
  manifest.head = state.live
  stopped_chain.tidy_others(look)
  tell_absent(look, manifest)
  return manifest
end

local function heads_of(look)
  local known <const>, heads = look.known.chains[look.name], {}
  for _, id in ipairs(look.state.ids) do heads[id] = true end
  if known and known.head then heads[known.head] = true end
  return heads
end

local function held_link(heads)
  for id in bpf.link.each() do
    local link <const> = bpf.link.open_id(id)
    local info <const> = link and link:info()
    if info and heads[info.prog_id] and info.ifindex and not info.severed then return link end
    if link then link:close() end
  end
  return nil
end

local function runs_one_of(heads, hook)
  if hook.type == "xdp" then
    local running <const> = bpf.network.xdp(hook.ifindex)
    return running and heads[running.prog_id]
  end
  for _, id in ipairs(bpf.network.tcx(hook.ifindex, hook.direction) or {}) do
    if heads[id] then return true end
  end
  return false
end

-- A link that has lost its pin lives on with whoever holds it. Where nobody does, it is about to
-- end: then what it still runs is not in force any more.
local function find_link(look)
  local state <const>, hook <const> = look.state, look.hook
  local is_expected <const> = hook and not state.link and not state.severed_link
    and not state.shared and not (hook.type == "tc" and state.live)
  local heads <const> = heads_of(look)
  if not is_expected or not next(heads) then return end
  local link <const> = held_link(heads)
  if link then
    local directory <const> = look.dirs:chain(look.name)
    look.findings:add({ code = "pin.missing", subject = title_of(look, state.manifest),
      text = "the pin of its link is gone", repair = "pin it again" }, function()
        local good, err = tree.make(directory)
        if good then good, err = link:pin(directory .. "/link") end
        return good, err
      end)
    state.link, state.live = link, link:info().prog_id
    chain_state.read_manifest(look.dirs, look.name, state)
    return
  end
  local deadline <const> = uv.hrtime() + MOST_WAITED
  while runs_one_of(heads, hook) and uv.hrtime() < deadline do uv.sleep(1) end
  look.state = chain_state.read(look.dirs, look.name, hook, look.known.chains[look.name])
end

local function look_here(look)
  look.state = chain_state.read(look.dirs, look.name, look.hook, look.known.chains[look.name])
  find_link(look)
  local state <const> = look.state
  if state.unreadable then return unreadable(look) end
  if state.shared then return shared(look) end
  if state.live then return in_force(look) end
  return stopped_chain.look(look)
end

-- What is told of the hook by the chain that was pinned last.
local function last_manifest(dirs, hook_name, known)
  local ids <const> = tree.ids(dirs:chain(hook_name))
  local manifest <const> = #ids > 0
    and bpf.chain.manifest.read(("%s/%d"):format(dirs:chain(hook_name), ids[#ids]))
  return manifest or known.chains[hook_name]
end

local is_no_namespace <const> = { ENOENT = true, EINVAL = true }

-- The hook, in its network namespace, which is entered; nil where that is gone, or another has its
-- place. What cannot be told is not taken for that.
local function hook_at(hook_name, manifest)
  if not manifest or not manifest.ifindex then return nil end
  local good, err = place.enter(manifest)
  if not good and not is_no_namespace[err.code] then error(err) end
  if not good then return nil end
  local hook
  hook, err = place.hook(manifest, { tc_attach = "clsact" })
  if not hook then error(err) end
  return hook.name == hook_name and hook or nil
end

--- Looks at a hook, from its own network namespace.
---@param dirs table
---@param hook_name string
---@param home table  descriptor of the namespace to come back to
---@param known bpfd.known
---@param findings bpfd.findings
---@return table? manifest  for the index: of the chain in force, or of one that is to run again;
---  nil where nothing of ours is, or is to be
---@return boolean? is_opaque  nobody can tell who is in it
function chain_examination.look(dirs, hook_name, home, known, findings)
  local hook <const> = hook_at(hook_name, last_manifest(dirs, hook_name, known))
  local look <const> = { dirs = dirs, name = hook_name, hook = hook, known = known,
    findings = findings }
  local manifest, is_opaque = look_here(look)
  bpf.network.enter(home:fd())
  if manifest and look.state.link and look.state.live and manifest.type == "xdp" then
    manifest.xdp_mode = place.xdp_mode(manifest, home)
  end
  return manifest, is_opaque
end

return chain_examination
