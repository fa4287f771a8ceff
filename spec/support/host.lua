-- Where most specs of the daemon play: a bpfd at the near end of a veth pair, which all tests of a
-- describe block have in common, or each of them has anew.
local busted = require "busted"
local assert = require "luassert"
local daemon = require "spec.support.daemon"
local namespace = require "spec.support.namespace"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local host = {}

---@class host.options: daemon.options
---@field iface? string  of the pair; veth0 when left out

local function copy(options)
  local settings = {}
  for key, value in pairs(options or {}) do settings[key] = value end
  return settings
end

local function declare(begin, finish, options)
  local pair, settings <const> = {}, copy(options)
  local served <const> = daemon.new(settings)
  begin(function()
    for key, value in pairs(namespace.pair(settings.iface or "veth0")) do pair[key] = value end
    settings.namespace = pair.near
    served:begin()
  end)
  finish(function()
    served:close()
    pair.far:close()
    pair.near:close()
  end)
  return served, pair
end

---For all tests of the block that calls this. What it returns is filled in when they begin.
---@param options? host.options  without namespace
---@return table daemon, namespace.pair pair
function host.for_all(options)
  return declare(busted.setup, busted.teardown, options)
end

---For each of them a new one.
---@param options? host.options  without namespace
---@return table daemon, namespace.pair pair
function host.for_each(options)
  return declare(busted.before_each, busted.after_each, options)
end

---A daemon alone, for all tests of the block: beside the one that a pair has, or without a pair.
---@param options? daemon.options  without namespace
---@param pair? namespace.pair     as host.for_all gives it
---@return table daemon
function host.daemon_for_all(options, pair)
  local settings <const> = copy(options)
  local served <const> = daemon.new(settings)
  busted.setup(function()
    settings.namespace = pair and pair.near
    served:begin()
  end)
  busted.teardown(function() served:close() end)
  return served
end

---Each test of the block must leave the daemon and its namespace as they were, once all programs
---are unloaded.
---@param served table   the daemon
---@param clear? fun()   takes away, before that, what unloading does not
---@return fun() assert_unchanged  proves, within a test, that all is as it was before it
function host.leaves_nothing(served, clear)
  local before
  local function assert_unchanged() assert.equal(before, residue.settled(served, before)) end
  busted.before_each(function() before = residue.scan(served) end)
  busted.after_each(function()
    if clear then clear() end
    rpc.unload_all(served)
    assert_unchanged()
  end)
  return assert_unchanged
end

---Each test of the block must leave what is loaded as it was, but for the chains' own programs.
---@param served table  the daemon
---@return fun() assert_unchanged
function host.changes_nothing(served)
  local before
  local function assert_unchanged()
    assert.equal(rpc.masked(before), rpc.settled(served, before))
  end
  busted.before_each(function() before = residue.scan(served) end)
  busted.after_each(function() assert_unchanged() end)
  return assert_unchanged
end

return host
