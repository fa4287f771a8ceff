-- What `make install` and LuaRocks put on a machine works there, without the source tree.
local uv = require "luv"
local folder = require "spec.support.folder"
local process = require "spec.support.process"

local SOURCE <const> = uv.cwd()
local BUILD <const> = os.getenv "BUILD" or SOURCE .. "/build"
-- Where a distribution has its Lua modules: all that the module's own tree may lack.
local DISTRIBUTION <const> = "/usr/share/lua/5.4/?.lua;/usr/share/lua/5.4/?/init.lua"
local DISTRIBUTION_C <const> = "/usr/lib/%s-linux-gnu/lua/5.4/?.so;/usr/lib/lua/5.4/?.so"

-- LuaRocks and C programs build without sanitizers: nothing to mix with a build that has them.
local SANITIZED <const> = os.getenv "ASAN_OPTIONS" ~= nil

local function is_root() return uv.getuid() == 0 end

-- Plain Lua with the tree and the distribution's modules in reach, far from the sources.
local function environment(tree)
  return {
    LUA_PATH = ("%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua;"):format(tree, tree)
      .. DISTRIBUTION,
    LUA_CPATH = tree .. "/lib/lua/5.4/?.so;" .. DISTRIBUTION_C:format(uv.os_uname().machine),
    LUA_PATH_5_4 = false, LUA_CPATH_5_4 = false, BPFD_SOCKET = "/run/none.sock",
  }
end

local function run_lua(tree, ...)
  return process.run({ "/usr/bin/env", "lua5.4", ... }, { env = environment(tree), cwd = "/" })
end

local function check_module(tree)
  local result = run_lua(tree, "-e", [[
    local bpf = require "bpf"
    for _, name in ipairs(getmetatable(bpf).__names) do assert(bpf[name], name) end
    print(package.searchpath("bpf", package.path), package.searchpath("bpf.core", package.cpath))
    for name in pairs(package.loaded) do assert(not name:find "^bpfd") end
  ]])
  assert.equal("", result.stderr)
  assert.equal(("%s/share/lua/5.4/bpf/init.lua\t%s/lib/lua/5.4/bpf/core.so\n"):format(tree, tree),
    result.stdout)
end

local function check_examples(tree)
  local result = run_lua(tree, SOURCE .. "/examples/counters.lua")
  assert.truthy(result.stderr:find("usage: lua5.4 counters.lua ID", 1, true))
  assert.equal(64, result.exit)
  result = run_lua(tree, SOURCE .. "/examples/counters.lua", "5")
  assert.truthy(result.stderr:find("no bpfd at /run/none.sock", 1, true))
  if not is_root() then return end
  result = run_lua(tree, SOURCE .. "/examples/look.lua",
    BUILD .. "/examples/go-xdp-counter/bpf_bpfel.o")
  assert.equal("", result.stderr)
  assert.truthy(result.stdout:find "^program %d+ \"xdp_stats\" xdp\n")
  assert.equal(0, result.exit)
end

describe("the module from LuaRocks", function()
  it("is built, installed, and runs the examples in plain Lua", function()
    if SANITIZED then pending "this build has sanitizers" return end
    if process.run({ "/usr/bin/env", "luarocks", "--version" }).exit ~= 0 then
      pending "luarocks is not installed"
      return
    end
    local home <close> = folder.new()
    local tree <const> = home.path .. "/tree"
    process.check({ "/usr/bin/env", "luarocks", "--lua-version", "5.4", "make",
      "--deps-mode=none", "--tree", tree, "rockspec/bpfd-scm-1.rockspec" },
      { cwd = SOURCE, seconds = 250 })
    check_module(tree)
    check_examples(tree)
  end)
end)

describe("an installed tree", function()
  local home, prefix

  setup(function()
    home = folder.new()
    prefix = home.path .. "/opt/bpfd"
    process.check({ "/usr/bin/env", "make", "-s", "install", "BUILD=" .. BUILD,
      "DESTDIR=" .. home.path, "PREFIX=/opt/bpfd" }, { cwd = SOURCE, seconds = 250 })
  end)
  teardown(function() home:close() end)

  it("has the module", function()
    check_module(prefix)
    check_examples(prefix)
  end)

  it("has bpfctl, which finds the whole core under the same prefix", function()
    local out = process.check({ prefix .. "/bin/bpfctl", "repl", "-e",
      "bpf.network.index 'lo' ~= nil" }, { cwd = "/", env = { LUA_CPATH = false } })
    assert.equal("true\n", out)
    assert.truthy(process.check({ prefix .. "/sbin/bpfd", "--version" }):find "^bpfd ")
  end)

  it("has completion for shells", function()
    local path = prefix .. "/share/bash-completion/completions/bpfctl"
    process.check { "/bin/bash", "-n", path }
    assert.is_not_nil(uv.fs_stat(prefix .. "/share/zsh/site-functions/_bpfctl"))
    assert.is_not_nil(uv.fs_stat(prefix .. "/share/fish/vendor_completions.d/bpfctl.fish"))
  end)

  it("has man pages that name every command and option", function()
    local page = process.check { "/bin/cat", prefix .. "/share/man/man1/bpfctl.1" }
    for _, words in ipairs { "load\\-from\\-file", "\\-\\-proceed\\-on", "\\-\\-execute" } do
      assert.truthy(page:find(words, 1, true), words)
    end
    assert.truthy(process.check({ "/bin/cat", prefix .. "/share/man/man8/bpfd.8" })
      :find("\\-\\-run\\-dir <PATH>", 1, true))
  end)

  it("lets a C program embed the core, by pkg-config alone", function()
    if SANITIZED then pending "this build has sanitizers" return end
    local program = home.path .. "/load"
    local env = { PKG_CONFIG_PATH = prefix .. "/lib/pkgconfig" }
    process.check({ "/bin/sh", "-c", ("cc -Wall -Wextra -Werror %s/examples/embed/load.c "
      .. "$(pkg-config --cflags --libs bpfd) -o %s"):format(SOURCE, program) },
      { cwd = home.path, env = env })
    local missing = process.run({ program, "/no/such.o", "pass", "xdp" }, { cwd = "/" })
    assert.equal("cannot open /no/such.o: No such file or directory\n", missing.stderr)
    assert.equal(2, missing.exit)
    if not is_root() then return end
    local object = prefix .. "/share/bpfd/examples/xdp_pass_kern.o"
    local loaded = process.run({ program, object, "pass", "xdp" }, {
      cwd = "/", env = { LUA_PATH = "/none/?.lua", LUA_CPATH = "/none/?.so" },
    })
    assert.equal("", loaded.stderr)
    assert.truthy(loaded.stdout:find '^program %d+ "pass" xdp\n$')
  end)
end)
