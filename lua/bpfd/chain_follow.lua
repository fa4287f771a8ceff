-- Chains that libxdp changes too, as the daemon sees them: that somebody else has changed one is
-- noticed within a second, or when somebody asks, and the index is brought in line.

local change = require "bpfd.change"
local index = require "bpfd.index"
local job = require "bpfd.job"
local lock = require "bpfd.lock"
local log = require "bpfd.log"
local reconcile = require "bpfd.reconcile"
local reconcile_job = require "bpfd.reconcile_job"

local chain_follow = {}

local function set_of(members)
  local set = {}
  for _, member in ipairs(members) do set[member.id] = member end
  return set
end

local function tell_of_own(hook_name, before, after)
  local now <const> = set_of(after.members)
  for _, member in ipairs(before.members) do
    if not member.owner and not now[member.id] then
      log.warning("somebody else has taken program %d out of the chain of %s; it runs no more",
        member.id, hook_name)
    elseif member.owner and not now[member.id] and after.is_mended then
      log.warning("program %d of %s, another member of the chain of %s, went with its pins",
        member.id, member.owner, hook_name)
    end
  end
end

local function tell(hook_name, before, after)
  if after.trouble then
    if after.trouble == before.trouble then return end
    log.error("the chain of %s, which libxdp shares, cannot be followed: %s", hook_name,
      after.trouble)
  elseif before.head and #after.members > 0 and not after.head then
    log.warning("somebody else has taken the chain of %s off its interface; `bpfctl doctor \z
      --repair`, the next load there or a restart attaches it again", hook_name)
  elseif after.is_mended then
    log.warning("somebody else has removed pins of libxdp's for %s: a new dispatcher with the \z
      members that are left is in place, and pinned", hook_name)
  elseif before.head ~= after.head then
    log.info("somebody else has changed the chain of %s: it has %d members", hook_name,
      #after.members)
  end
  tell_of_own(hook_name, before, after)
end

local following = {} -- hooks that are being read just now, by name

-- Under the lock: by then somebody may have done it.
local function follow(daemon, hook_name, everywhere)
  local before <const> = daemon.store:chain(hook_name)
  if not before or not daemon.hooks:is_stale(hook_name, everywhere) then return end
  local known <const> = reconcile.known(daemon)
  local after, err = job.run(function()
    return reconcile_job.follow(daemon.directories, hook_name, known)
  end)
  if not after then
    log.error("reading the chain of %s anew: %s", hook_name, tostring(err))
    return
  end
  tell(hook_name, before, after)
  after.is_mended = nil
  daemon.store:change(function()
    index.put_chain(daemon, hook_name, #after.members > 0 and after)
    return true
  end)
  daemon.hooks:hold(hook_name)
end

local function run(daemon, hook_name, chain, everywhere)
  local held <close> = lock.hold(change.keys(chain)) -- luacheck: ignore held
  local changing <close> = lock.tree() -- luacheck: ignore changing
  following[hook_name] = true
  follow(daemon, hook_name, everywhere)
  following[hook_name] = nil
end

--- Before an answer that tells of chains. What a job is changing just now is not waited for.
---@param daemon table
---@param everywhere boolean?  in other network namespaces too, into which only a job can look
function chain_follow.catch_up(daemon, everywhere)
  for _, hook_name in ipairs(daemon.hooks:stale(everywhere)) do
    local chain <const> = daemon.store:chain(hook_name)
    if chain and (following[hook_name] or change.is_free(daemon, hook_name)) then
      run(daemon, hook_name, chain, everywhere)
    end
  end
end

return chain_follow
