-- What the engines of chains promise alike, as tests of the describe block that asks for them.
local busted = require "busted"
local assert = require "luassert"
local uv = require "luv"
local chain = require "bpf.chain"
local support = require "spec.support.chain"
local verdict = require "bpf.verdict"

local PASS <const> = 2
local ALL <const> = assert(verdict.encode("xdp", verdict.values "xdp"))

-- By the order of their names; the last is dispatcher_return.
local codes <const> = {
  xdp = { 0, 1, 2, 3, 4, 31 },
  tc = { -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 30 },
}

local tested = {}
tested.__index = tested

local chain_engine = {}

---@param name "fuse"|"freplace"
function chain_engine.new(name)
  return setmetatable({ name = name, engine = chain.engine(name) }, tested)
end

---A member from the object that has one of each kind.
function tested:member(kind, name, globals)
  return support.member(kind, "chain_" .. kind, name, globals, nil, self.name)
end

---A member that always returns this.
function tested:fixed(kind, value)
  return self:member(kind, "plain", { fixed = string.pack("i8", value) })
end

local function proceeds_on_each_verdict(self, kind, always_on_return)
  local unknown <const> = kind == "xdp" and 200 or 100
  local last <close> = self:fixed(kind, unknown)
  for position, name in ipairs(verdict.values(kind)) do
    local mask = assert(verdict.encode(kind, { name }))
    for at, code in ipairs(codes[kind]) do
      local first <close> = self:fixed(kind, code)
      local build <close> = assert(self.engine.build({ type = kind },
        { first:with(mask), last:with(mask) }))
      local proceeds = at == position or always_on_return and at == #codes[kind]
      assert.equal(proceeds and unknown or code & 0xffffffff, (support.run(build.program)),
        name .. " and " .. code)
    end
  end
end

---@param always_on_return boolean  a member that returns dispatcher_return stops no chain
function tested:keeps_promises(always_on_return)
  for kind in pairs(codes) do
    busted.it(("proceeds on each %s verdict, %s"):format(kind, always_on_return
      and "on that one only, and always on dispatcher_return" or "and on that one only"),
      function() proceeds_on_each_verdict(self, kind, always_on_return) end)
  end

  busted.it("ends in pass, for tc in unspec or, if asked to, in ok", function()
    local xdp <close> = self:fixed("xdp", 1)
    local tc <close> = self:fixed("tc", 3)
    local build <const>, pipe = self.engine.build, assert(verdict.encode("tc", { "pipe" }))
    local passed <close> = assert(build({ type = "xdp" }, { xdp:with(ALL) }))
    local next_filter <close> = assert(build({ type = "tc" }, { tc:with(pipe) }))
    local ok <close> = assert(build({ type = "tc" }, { tc:with(pipe) }, { tc_end = "ok" }))
    assert.equal(PASS, (support.run(passed.program)))
    assert.equal(0xffffffff, (support.run(next_filter.program)))
    assert.equal(0, (support.run(ok.program)))
  end)

  busted.it("may hold one program several times", function()
    local member <close> = self:member("xdp", "globals")
    member:choose(PASS)
    local build <close> = assert(self.engine.build({ type = "xdp" },
      { member:with(ALL), member:with(ALL), member:with(ALL) }))
    assert.equal(PASS, (support.run(build.program)))
    assert.equal(3, member:runs())
  end)
end

local function descriptors()
  local count, scan = 0, assert(uv.fs_scandir "/proc/self/fd")
  while uv.fs_scandir_next(scan) do count = count + 1 end
  return count
end

---Such a chain is not built, the message has these words, and no descriptor is left.
function tested:assert_refused(hook, places, code, ...)
  local before = descriptors()
  local build, err = self.engine.build(hook, places)
  assert.is_nil(build)
  assert.equal(code, err.code)
  for _, words in ipairs { ... } do assert.matches(words, tostring(err), 1, true) end
  collectgarbage()
  collectgarbage()
  assert.is_true(descriptors() <= before, "descriptors are left")
end

return chain_engine
