-- Completion in shells: what is offered, and that a real bash takes it.
local bpfctl = require "spec.support.bpfctl"
local folder = require "spec.support.folder"
local process = require "spec.support.process"
local pty = require "spec.support.pty"

local function offered(words, env)
  local result = bpfctl.run(nil, { "completion", "candidates", "--", table.unpack(words) },
    { env = env or { BPFD_SOCKET = "/run/none.sock" } })
  assert.equal("", result.stderr)
  assert.equal(0, result.exit)
  local found = {}
  for line in result.stdout:gmatch "[^\n]+" do found[#found + 1] = line:match "^[^\t]*" end
  return table.concat(found, " ")
end

describe("completion offers", function()
  for _, case in ipairs {
    { { "lo" }, "load-from-file load-from-image" },
    { { "list", "--program-type", "k" }, "kprobe" },
    { { "list", "--program-type=kp" }, "--program-type=kprobe" },
    { { "list", "--program-type", "=", "kp" }, "kprobe" },
    { { "list", "--program-type", "=" }, false, "xdp" },
    { { "-o", "" }, "table wide json yaml" },
    { { "load-from-file", "--path", "" }, ":files" },
    { { "load-from-file", "-p", "x", "-n", "y", "t" }, "tc tracepoint tcx" },
    { { "load-from-file", "-g", "A=1", "x" }, "xdp" },
    { { "load-from-file", "xdp", "--pri" }, "--priority" },
    { { "load-from-file", "xdp", "-p", "1", "--pri" }, "" },
    { { "load-from-file", "xdp", "--proceed-on", "pass", "dr" }, "drop" },
    { { "load-from-file", "xdp", "-i", "l" }, "lo" },
    { { "help", "load-from-file", "kp" }, "kprobe" },
    { { "map", "l" }, "list" },
    { { "completion", "" }, "bash zsh fish help" },
    { { "run", "" }, ":files" }, { { "run", "x.lua", "-" }, ":files" },
    { { "get", "" }, false, "--output" }, -- without a daemon there is no id to offer
    { { "no-such", "li" }, "list" }, { { "--", "li" }, "list" },
  } do
    it(("for %s"):format(table.concat(case[1], " ")), function()
      local text = offered(case[1])
      if case[2] then assert.equal(case[2], text) end
      if case[3] then assert.truthy(text:find(case[3], 1, true)) end
    end)
  end

  it("every command with every option, those of families too", function()
    local root = require "bpfctl.root"
    local seen = 0
    local function walk(command, words)
      seen = seen + 1
      local all = table.move(words, 1, #words, 1, {})
      all[#all + 1] = "--"
      local text = " " .. offered(all) .. " "
      for _, option in ipairs(command.options) do
        local long = "--" .. option.name:gsub("_", "-")
        assert.truthy(text:find(" " .. long .. " ", 1, true), table.concat(all, " ") .. " " .. long)
      end
      for _, name in ipairs(command.commands or {}) do
        all[#all] = name
        walk(command.find(name), all)
      end
    end
    walk(root, {})
    assert.is_true(seen > 20)
  end)

  it("own commands and formats", function()
    local home <close> = folder.new()
    home:write("commands.d/planets.lua", [[return { summary = "s", run = print, options = {
      { name = "moons", kind = "choice", values = { "one", "two" }, text = "t" },
      { name = "sun", kind = "string", text = "t",
        complete = function() return { "sol" } end } } }]])
    home:write("commands.d/broken.lua", "return {")
    home:write("formats.d/mine.lua", "return {}")
    local env = { BPFD_CONFIG_DIR = home.path }
    assert.truthy(offered({ "p" }, env):find("planets", 1, true))
    assert.equal("broken", offered({ "bro" }, env))
    assert.equal("one two", offered({ "planets", "--moons", "" }, env))
    assert.equal("sol", offered({ "planets", "--sun", "" }, env))
    assert.equal("mine", offered({ "planets", "-o", "m" }, env))
  end)
end)

describe("bash", function()
  local directory <const> = bpfctl.path:match "^(.*)/"
  local env <const> = { PATH = directory .. ":" .. os.getenv "PATH", TERM = "dumb",
    BPFD_SOCKET = "/run/none.sock" }

  it("sources the script and gets the words", function()
    local script = [[
      source <(bpfctl completion bash)
      ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bpfctl; echo "${COMPREPLY[*]}"; }
      IFS=" "
      ask bpfctl li
      ask bpfctl list --program-type = kp
      cd /proc/self && ask bpfctl run ./mounti
      complete -p bpfctl
    ]]
    assert.equal("list\nkprobe\n./mountinfo\n"
      .. "complete -F _bpfctl bpfctl\n",
      process.check({ "/bin/bash", "--norc", "-c", script }, { env = env }))
  end)

  it("completes what is typed on a terminal", function()
    local terminal <close> = pty.start("/bin/bash --norc -i", env)
    terminal:type "source <(bpfctl completion bash); PS1='rea''dy '\n"
    terminal:wait_for "\nready "
    terminal:type "bpfctl feat\9--he\9\n"
    terminal:wait_for "Usage: bpfctl features"
    terminal:type "exit\n"
    assert.equal(0, terminal:wait())
  end)
end)
