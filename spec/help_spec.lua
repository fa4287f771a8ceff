-- Help pages, byte by byte, and that every way of asking gives the same one.
local bpfctl = require "spec.support.bpfctl"
local root = require "bpfctl.root"

local function page(line)
  local result = bpfctl.run(nil, bpfctl.words(line))
  assert.equal("", result.stderr)
  assert.equal(0, result.exit)
  return result.stdout
end

local xdp_page <const> = [[
Run an eBPF program on the XDP hook of an interface

Usage: bpfctl load-from-file --path <PATH> --name <NAME> xdp [OPTIONS] ]]
  .. "--iface <IFACE> --priority <PRIORITY>\n" .. [[
------

Options:
--------
  -i, --iface <IFACE>
          Required: Interface to run the program on

  -p, --priority <PRIORITY>
          Required: Place of the program in the chain. Lower runs first

      --proceed-on <PROCEED_ON>...
          Optional: Verdicts after which the next program of the chain runs.
          Any other verdict ends the chain and stands. A program whose own drop
          (TC: shot) is listed here does not drop. Several values may follow, and
          the option may be given again.
          Example: --proceed-on pass --proceed-on drop

          [possible values: aborted, drop, pass, tx, redirect, dispatcher_return]

          [default: pass, dispatcher_return]

      --netns <NETNS>
          Optional: Network namespace of the interface: a path, or a name as in ip netns

  -h, --help
          Print help
]]

local top_page = [[
Load, list and unload eBPF programs through bpfd

Usage: bpfctl <COMMAND>
------

Commands:
---------
  load-from-file   Load an eBPF program from a local object file
  load-from-image  Load an eBPF program from an OCI image in a registry
  unload           Unload eBPF programs by program id
  list             List the eBPF programs that bpfd has loaded
  get              Show what bpfd and the kernel know of a program
  pull-bytecode    Fetch an image with bytecode for loads to come
OURS  help             Print this page, or that of the command behind it

Options:
--------
  -q, --quiet            Print ids only
  -o, --output <FORMAT>  How to print [possible values: table, wide, json, yaml] [default: table]
      --socket <PATH>    Where bpfd listens
  -h, --help             Print help
  -V, --version          Print version
]]

-- Behind the guide's commands stand ours, in the same form.
do
  local ours, guides = {}, 6
  for i = guides + 1, #root.commands do
    local name = root.commands[i]
    ours[#ours + 1] = ("  %-15s  %s\n"):format(name, root.find(name).summary)
  end
  top_page = top_page:gsub("OURS", table.concat(ours))
end

local commands <const> = root.commands
local families <const> = {
  image = { "list", "inspect", "remove", "prune", "build", "push" },
  map = { "list", "show", "get", "set", "delete", "watch" },
}
local types <const> = {
  "xdp", "tc", "tracepoint", "kprobe", "uprobe", "tcx", "raw_tracepoint", "fentry", "fexit",
}

describe("help", function()
  it("has the guide's layout", function()
    assert.equal(xdp_page, page "load-from-file xdp -h")
    assert.equal(top_page, page "--help")
    assert.equal([[
Fetch an image with bytecode for loads to come

Usage: bpfctl pull-bytecode [OPTIONS] --image-url <IMAGE_URL>
------

Options:
--------
  -i, --image-url <IMAGE_URL>
          Required: Image that holds the bytecode.
          Example: --image-url quay.io/bpfd-bytecode/xdp_pass:latest

  -r, --registry-auth <REGISTRY_AUTH>
          Optional: Credentials for the registry: <USERNAME>:<PASSWORD> in base64, as
          docker and podman keep them.
          Example: --registry-auth "YnjrcKw63PhDcQodiU9hYxQ2"

  -p, --pull-policy <PULL_POLICY>
          Optional: When to fetch the image

          [possible values: Always, IfNotPresent, Never]

          [default: IfNotPresent]

  -h, --help
          Print help
]], page "pull-bytecode --help")
  end)

  it("breaks a long list of values under the first", function()
    assert.matches([[
          %[possible values: unspec, ok, reclassify, shot, pipe, stolen, queued,
                            repeat, redirect, trap, dispatcher_return%]

          %[default: ok, pipe, dispatcher_return%]
]], page "load-from-file tc -h")
  end)

  it("repeats what is required before the type in the type's usage line", function()
    local function usage(line) return page(line):match "\nUsage: ([^\n]*)\n%-%-%-%-%-%-\n\n" end
    assert.equal("bpfctl load-from-file [OPTIONS] --path <PATH> --name <NAME> <COMMAND>",
      usage "load-from-file -h")
    assert.equal("bpfctl load-from-image [OPTIONS] --image-url <IMAGE_URL> <COMMAND>",
      usage "load-from-image -h")
    assert.equal("bpfctl load-from-file --path <PATH> --name <NAME> tc [OPTIONS] "
      .. "--direction <DIRECTION> --iface <IFACE> --priority <PRIORITY>",
      usage "load-from-file tc -h")
    assert.equal("bpfctl load-from-image --image-url <IMAGE_URL> kprobe [OPTIONS] "
      .. "--fn-name <FN_NAME>", usage "load-from-image kprobe -h")
    assert.equal("bpfctl load-from-file --path <PATH> --name <NAME> tracepoint "
      .. "--tracepoint <TRACEPOINT>", usage "load-from-file tracepoint -h")
    assert.equal("bpfctl unload [OPTIONS] <ID>...", usage "unload -h")
    assert.equal("bpfctl get <ID>", usage "get -h")
    assert.equal("bpfctl list [OPTIONS]", usage "list -h")
    assert.equal("bpfctl image build [OPTIONS] --image-url <IMAGE_URL> --object <[ARCH=]PATH>",
      usage "image build -h")
    assert.equal("bpfctl image remove [OPTIONS] <IMAGE_URL>...", usage "image remove -h")
    assert.equal("bpfctl map <COMMAND>", usage "map -h")
    assert.equal("bpfctl map list [OPTIONS] [PROGRAM_ID]", usage "map list -h")
  end)

  it("is the same page however it is asked for", function()
    assert.equal(top_page, page "help")
    assert.equal(top_page, page "-h")
    for _, command in ipairs(commands) do
      local expected = page(command .. " --help")
      assert.equal(expected, page("help " .. command))
      assert.equal(expected, page(command .. " help"))
    end
    for family, inner in pairs(families) do
      for _, name in ipairs(inner) do
        local expected = page(("%s %s -h"):format(family, name))
        assert.equal(expected, page(("help %s %s"):format(family, name)))
        assert.equal(expected, page(("%s help %s"):format(family, name)))
      end
    end
    for _, load in ipairs { "load-from-file", "load-from-image" } do
      for _, type_name in ipairs(types) do
        local expected = page(("%s %s -h"):format(load, type_name))
        assert.equal(expected, page(("help %s %s"):format(load, type_name)))
        assert.equal(expected, page(("%s help %s"):format(load, type_name)))
      end
    end
  end)

  it("has no blanks at line ends, two blanks before names and dashes of the title's length",
    function()
      for _, line in ipairs { "-h", "load-from-image -h", "list -h", "help unload", "help get" } do
        local text = page(line)
        assert.is_nil(text:find "[ \t]\n")
        assert.is_nil(text:find "\n\n$")
        for title, dashes in text:gmatch "\n(%u%l+:)\n(%-+)\n" do
          assert.equal(#title, #dashes)
        end
        assert.matches("\n  %-h, %-%-help", text)
      end
    end)

  it("goes to stderr and fails when nothing was asked for", function()
    local result = bpfctl.run(nil, {})
    assert.equal("", result.stdout)
    assert.equal(top_page, result.stderr)
    assert.equal(64, result.exit)
  end)

  it("is not needed for the version", function()
    assert.matches("^bpfctl %d+%.%d+%.%d+\n$", page "-V")
    assert.equal(page "-V", page "--version")
  end)
end)
