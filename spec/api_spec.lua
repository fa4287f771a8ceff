-- The page on the Lua API is made from annotations, and what lacks them is named.
local uv = require "luv"
local folder = require "spec.support.folder"
local process = require "spec.support.process"

local SOURCE <const> = uv.cwd()

describe("scripts/api.lua", function()
  local home

  -- A tree of two modules, as far as the script looks at it.
  before_each(function()
    home = folder.new()
    home:write("lua/bpf/init.lua", 'return setmetatable({}, { __names = { "one", "two" } })\n')
    home:write("lua/bpf/two.lua", "-- Doubles.\n\n---@param n number\n---@return number\n"
      .. "return function(n) return 2 * n end\n")
    home:write("docs/luacats/none", "")
  end)
  after_each(function() home:close() end)

  local function run(one, ...)
    if one then home:write("lua/bpf/one.lua", one) end
    return process.run({ "/usr/bin/env", "lua5.4", SOURCE .. "/scripts/api.lua", ... },
      { cwd = home.path })
  end

  local function page()
    local file <close> = assert(io.open(home.path .. "/docs/lua-api.md"))
    return file:read("a"):match "\n(## .*)$"
  end

  local ONE <const> = [[
-- One thing.

local one = {}

---@class bpf.thing  what there is
---@field size integer bytes
---on a disk
---@field close fun(self)
local thing = {}

--- Makes it.
---@param options { size: integer?, name: string }  size: in bytes
---@return bpf.thing? thing
---@return bpf.error? err   ENOSPC: too large
function one.make(options) return options end

---@param more boolean
function thing:grow(more) print(self, more) end

function thing:close() end

--- How many there may be.
one.most = 5

return one
]]

  it("writes what modules, functions and classes say", function()
    local result = run(ONE)
    assert.equal("", result.stderr)
    assert.equal(0, result.exit)
    assert.equal([[
## bpf.one

One thing.

### bpf.one.most

How many there may be.

### bpf.one.make(options)

Makes it.

- `options` `{ size: integer?, name: string }`: size: in bytes
- returns `bpf.thing?` thing, `bpf.error?` err   ENOSPC: too large

### bpf.thing:grow(more)

- `more` `boolean`

### bpf.thing:close()

### class bpf.thing

what there is

- `size` `integer`: bytes on a disk
- `close` `fun(self)`

## bpf.two

Doubles.

### bpf.two(n)

- `n` `number`
- returns `number`
]], page())
    assert.equal(0, run(nil, "--check").exit)
  end)

  it("says when the page is stale", function()
    run(ONE)
    local result = run(ONE:gsub("Makes it", "Builds it"), "--check")
    assert.equal("docs/lua-api.md is stale: make docs\n", result.stderr)
    assert.equal(1, result.exit)
  end)

  for _, case in ipairs {
    { "a function without annotation", "%-%-%-@param more boolean\n", "",
      "lua/bpf/one.lua:17: bpf.thing:grow has no annotation\n" },
    { "a parameter", "%-%-%-@param options[^\n]*\n", "", "lua/bpf/one.lua:14: bpf.one.make: "
      .. "no @param options\n" },
    { "a result", "%-%-%-@return[^\n]*\n", "", "lua/bpf/one.lua:13: bpf.one.make: no @return\n" },
  } do
    it("names " .. case[1], function()
      local result = run((ONE:gsub(case[2], case[3])))
      assert.equal(case[4], result.stderr)
      assert.equal(1, result.exit)
    end)
  end
end)
