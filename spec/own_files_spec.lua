-- Commands and formats that users and sites add, as bpfctl runs them; no daemon is needed.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local folder = require "spec.support.folder"
local process = require "spec.support.process"

local PLANETS <const> = [[
return {
  summary = "List planets",
  options = {
    { name = "moons", short = "m", kind = "integer", text = "With as many moons", minimum = 0 },
    { name = "kind", kind = "choice", values = { "rock", "gas" }, text = "Of a kind" },
  },
  operands = {
    { name = "word", kind = "string", required = true, repeated = true, text = "What to greet" },
  },
  columns = { { "Planet", "name" }, { "Moons", "moons" } },
  brief = function(planets) return #planets .. "\n" end,
  run = function(_, arguments)
    local planets = { { name = "Earth", moons = 1 }, { name = "Mars", moons = 2 } }
    if arguments.moons then planets = { planets[arguments.moons] } end
    if arguments.kind == "gas" then return nil, "no gas here" end
    if arguments.word and arguments.word[1] == "raise" then error "on purpose" end
    return planets
  end,
}
]]

describe("a file that is a command", function()
  local home

  before_each(function() home = folder.new() end)
  after_each(function() home:close() end)

  local function run(line, env)
    local merged = {
      XDG_CONFIG_HOME = home.path .. "/user", BPFD_CONFIG_DIR = home.path .. "/site",
    }
    for name, value in pairs(env or {}) do merged[name] = value end
    return bpfctl.run(nil, bpfctl.words(line), { env = merged })
  end

  local function prints(expected, line, env)
    local result = run(line, env)
    assert.equal("", result.stderr)
    assert.equal(expected, result.stdout)
    assert.equal(0, result.exit)
  end

  local function fails(exit, expected, line)
    local result = run(line)
    assert.equal("", result.stdout)
    assert.equal(expected, home:shortened(result.stderr))
    assert.equal(exit, result.exit)
  end

  it("runs like a built-in one, with options, formats and -q", function()
    home:write("user/bpfctl/commands/planets.lua", PLANETS)
    prints(" Planet  Moons\n Earth   1\n Mars    2\n", "planets x")
    prints(" Planet  Moons\n Mars    2\n", "planets x -m 2")
    prints('[{"name":"Earth","moons":1},{"name":"Mars","moons":2}]\n', "planets x -o json")
    prints("- name: Earth\n  moons: 1\n- name: Mars\n  moons: 2\n", "planets x --output yaml")
    prints("2\n", "planets -q x")
  end)

  it("has a place in the help, and a page of its own", function()
    home:write("user/bpfctl/commands/planets.lua", PLANETS)
    assert.truthy(run("help").stdout:find("\n  planets +List planets\n"))
    local page = run("planets --help").stdout
    assert.truthy(page:find("Usage: bpfctl planets [OPTIONS] <WORD>...", 1, true))
    assert.truthy(page:find("  -m, --moons <MOONS>\n          Optional: With as many", 1, true))
    assert.equal(page, run("help planets").stdout)
  end)

  it("is refused the line that a built-in one would refuse", function()
    home:write("user/bpfctl/commands/planets.lua", PLANETS)
    local advice = "\ntry 'bpfctl planets --help'\n"
    fails(64, "bpfctl: --kind has no value 'gsa'; did you mean gas?" .. advice,
      "planets --kind gsa")
    fails(64, "bpfctl: planets needs <WORD>" .. advice, "planets")
    fails(64, "bpfctl: no command 'planet'; did you mean planets?\ntry 'bpfctl --help'\n", "planet")
  end)

  it("may fail with a word, and raise with a traceback", function()
    home:write("user/bpfctl/commands/planets.lua", PLANETS)
    fails(1, "bpfctl: HOME/user/bpfctl/commands/planets.lua: no gas here\n", "planets x --kind gas")
    local result = run "planets raise"
    assert.equal(1, result.exit)
    local first = result.stderr:match "^[^\n]*"
    assert.truthy(first:find "^bpfctl: running planets: .+/commands/planets.lua:16: on purpose$")
    assert.truthy(result.stderr:find("stack traceback:", 1, true))
  end)

  it("of the user goes before the site's, and a built-in before both", function()
    local text = "return { summary = 's', run = function() return %q end }"
    home:write("site/commands.d/where.lua", text:format "site")
    prints("site\n", "where")
    home:write("user/bpfctl/commands/where.lua", text:format "user")
    prints("user\n", "where")
    home:write("user/bpfctl/commands/list.lua", text:format "not this one")
    assert.equal(69, run("list --socket /run/none.sock").exit)
    local _, times = run("help").stdout:gsub("\n  list ", "")
    assert.equal(1, times)
  end)

  for _, case in ipairs {
    { "a syntax error", "return {", "ODD:1: unexpected symbol near <eof>" },
    { "a mistake at load", "error 'early'", "ODD:1: early" },
    { "no table", "return 5", "ODD must return a table, not number" },
    { "nothing in it", "", "ODD must return a table, not nil" },
    { "an unknown key", "return { sumary = 's' }",
      "ODD has no key sumary; did you mean summary?" },
    { "no run", "return { summary = 's' }",
      "ODD needs a run that is a function, not nil" },
    { "a summary of another type", "return { summary = 5, run = print }",
      "ODD needs a summary that is a string, not number" },
    { "an unknown kind of option",
      "return { summary = 's', run = print, options = {{ name='a', kind='strin', text='' }} }",
      "ODD option 1 has no kind 'strin'; did you mean string?" },
    { "two options of one name", [[local o = { name = 'a', kind = 'flag', text = '' }
      return { summary = 's', run = print, options = { o, o } }]],
      "ODD option 2 is called a like another" },
    { "a choice of nothing",
      "return { summary = 's', run = print, options = {{ name='a', kind='choice', text='' }} }",
      "ODD option 1 is a choice without values" },
    { "an operand that is none",
      "return { summary = 's', run = print, operands = {{ name = 'a', kind = 'flag',"
        .. " text = '' }} }", "ODD operand 1 cannot be a flag" },
    { "nesting without end", "return " .. ("{"):rep(1000), "ODD: it is nested too deeply" },
    { "bytecode", string.dump(load "return {}"),
      "attempt to load a binary chunk (mode is 't')" },
  } do
    it("with " .. case[1] .. " says so in one line, and help goes on", function()
      home:write("site/commands.d/odd.lua", case[2])
      local expected = case[3]:gsub("^ODD", "HOME/site/commands.d/odd.lua")
      fails(1, "bpfctl: " .. expected .. "\n", "odd")
      assert.truthy(run("help").stdout:find("\n  odd  ", 1, true))
    end)
  end

  it("that others can write is not run", function()
    local path = home:write("user/bpfctl/commands/planets.lua", PLANETS, tonumber("666", 8))
    local result = run "planets x"
    assert.equal(1, result.exit)
    assert.truthy(result.stderr:find(path .. " can be written by others, so bpfctl does not run it",
      1, true))
    assert(uv.fs_chmod(path, tonumber("644", 8)))
    assert(uv.fs_chmod(home.path .. "/user/bpfctl", tonumber("777", 8)))
    result = run "planets x"
    assert.equal(1, result.exit)
    assert.truthy(result.stderr:find("/user/bpfctl can be written by others", 1, true))
    assert(uv.fs_chmod(home.path .. "/user/bpfctl", tonumber("755", 8)))
    assert.equal(0, run("planets x").exit)
  end)

  it("of another user is not run by root", function()
    if uv.getuid() ~= 0 then pending "needs root" return end
    local path = home:write("user/bpfctl/commands/planets.lua", PLANETS)
    assert(uv.fs_chown(path, 1000, 1000))
    fails(1, "bpfctl: HOME/user/bpfctl/commands/planets.lua belongs to uid 1000, so bpfctl does "
      .. "not run it; as root it runs what only root can write: chown root, chmod go-w\n",
      "planets x")
    assert(uv.fs_chown(path, 0, 1000))
    assert(uv.fs_chmod(path, tonumber("664", 8)))
    assert.equal(1, run("planets x").exit)
  end)
end)

describe("a file that is a format", function()
  local home
  local WORD <const> = "return { summary = 's', draws = 'planets', "
    .. "run = function() return { { name = 'Earth' } } end }"
  local NAMES <const> = [[
    return {
      planets = function(planets, style)
        return ("%s %s %s\n"):format(planets[1].name, style.color, style.width)
      end,
    }
  ]]

  before_each(function()
    home = folder.new()
    home:write("site/commands.d/planets.lua", WORD)
  end)
  after_each(function() home:close() end)

  local function run(...)
    return bpfctl.run(nil, { ... }, {
      env = { XDG_CONFIG_HOME = home.path .. "/user", BPFD_CONFIG_DIR = home.path .. "/site" },
    })
  end

  it("is found by path, in the user's folder, and in the site's", function()
    local path = home:write("names.lua", NAMES)
    assert.equal("Earth false nil\n", run("planets", "-o", path).stdout)
    home:write("user/bpfctl/formats/mine.lua", NAMES)
    assert.equal("Earth false nil\n", run("planets", "-o", "mine").stdout)
    home:write("site/formats.d/ours.lua", NAMES)
    assert.equal("Earth false nil\n", run("-o", "ours", "planets").stdout)
    local result = run("planets", "-o", "minne")
    assert.equal("bpfctl: --output has no value 'minne'; did you mean mine?\n"
      .. "try 'bpfctl planets --help'\n", result.stderr)
    assert.equal(64, result.exit)
  end)

  for _, case in ipairs {
    { "raises", "return { any = function() error 'no' end }",
      "drawing with odd: HOME/user/bpfctl/formats/odd.lua:1: no; "
        .. "the command itself was carried out" },
    { "returns no text", "return { any = function() return {} end }",
      "drawing with odd: planets is no text but a table; the command itself was carried out" },
    { "does not know the kind", "return { programs = print }",
      "the format odd has no function for planets; "
        .. "a function `any` in it would draw all that has none of its own" },
    { "has a syntax error", "retrun",
      "reading a format: HOME/user/bpfctl/formats/odd.lua:1: syntax error near <eof>" },
    { "holds no function", "return { any = 'x' }",
      "HOME/user/bpfctl/formats/odd.lua: any must be a function, not string" },
  } do
    it("and " .. case[1] .. " is one line and 1", function()
      home:write("user/bpfctl/formats/odd.lua", case[2])
      local result = run("planets", "-o", "odd")
      assert.equal("bpfctl: " .. case[3] .. "\n", home:shortened(result.stderr))
      assert.equal("", result.stdout)
      assert.equal(1, result.exit)
    end)
  end

  it("that does not exist is one line and 1", function()
    local result = run("planets", "-o", home.path .. "/none.lua")
    assert.equal("bpfctl: reading a format: cannot open HOME/none.lua: "
      .. "No such file or directory\n", home:shortened(result.stderr))
    assert.equal(1, result.exit)
  end)

  it("has the terminal's width and colour on a terminal, unless NO_COLOR is set", function()
    local path = home:write("names.lua", NAMES)
    local command = ("stty cols 77; %s -o %s planets"):format(bpfctl.path, path)
    for _, case in ipairs { { {}, "true" }, { { NO_COLOR = "1" }, "false" },
      { { NO_COLOR = "" }, "true" }, { { TERM = "dumb" }, "false" } } do
      local env = { BPFD_CONFIG_DIR = home.path .. "/site", TERM = "xterm" }
      for name, value in pairs(case[1]) do env[name] = value end
      local out = process.check({ "/usr/bin/script", "-qec", command, "/dev/null" }, { env = env })
      assert.equal(("Earth %s 77\r\n"):format(case[2]), out)
    end
  end)
end)
