-- The command line's rules, as cli.md has them.
local options = require "bpfctl.options"
local root = require "bpfctl.root"

local function parse(line)
  local words = {}
  for word in line:gmatch "%S+" do words[#words + 1] = word end
  return options.parse(root, words)
end

local function parsed(line)
  local invocation, problem = parse(line)
  assert.is_nil(problem and problem.message)
  local outer, inner = invocation.levels[1], invocation.levels[2]
  return outer.values, inner and inner.values, invocation.common, inner and inner.command.name
end

local function complaint(line)
  local invocation, problem = parse(line)
  assert.is_nil(invocation)
  return problem.message, table.concat(problem.path, " ")
end

local load <const> = "load-from-file -p x.o -n pass "

describe("the command line", function()
  it("takes common options before the type and the type's own behind it", function()
    local common, own, _, type_name = parsed(load .. "xdp --iface v0 --priority 50")
    assert.same({ path = "x.o", name = "pass" }, common)
    assert.same({ iface = "v0", priority = 50 }, own)
    assert.equal("xdp", type_name)
    assert.equal("--path belongs before xdp",
      (complaint("load-from-file -n pass xdp --path x.o -i v0")))
    assert.equal("--name belongs before xdp", (complaint("load-from-file -p x xdp -n pass")))
    assert.equal("--iface belongs behind xdp", (complaint("load-from-file -p x --iface v0 xdp")))
    assert.equal("--direction belongs behind tc", (complaint("load-from-file -d ingress tc")))
  end)

  it("ends a list of globals at a word without an equals sign", function()
    local common, own, _, type_name = parsed(load .. "-g RET=02000000 xdp -i v0 -p 1")
    assert.same({ RET = "02000000" }, common.global)
    assert.equal("xdp", type_name)
    assert.equal("v0", own.iface)
    common = parsed("load-from-file -p x -g A=01 B=0203 -g C=u32:7 -n f xdp -i v0 -p 1")
    assert.same({ A = "01", B = "0203", C = "u32:7" }, common.global)
    common = parsed("load-from-file -p x -gA=01 B=02 -n f xdp -i v0 -p 1")
    assert.same({ A = "01", B = "02" }, common.global)
    common = parsed("load-from-file -p x -n f --global=A=01 xdp -i v0 -p 1")
    assert.same({ A = "01" }, common.global)
  end)

  it("ends a list of verdicts at a word that begins with a dash", function()
    local _, own = parsed(load .. "xdp -i v0 -p 30 --proceed-on drop pass dispatcher_return")
    assert.same({ "drop", "pass", "dispatcher_return" }, own.proceed_on)
    _, own = parsed(load .. "xdp --proceed-on pass -i v0 --proceed-on drop -p 30")
    assert.same({ "drop", "pass" }, own.proceed_on)
    _, own = parsed(load .. "tc -d ingress --proceed-on=ok pipe -i v0 -p 3")
    assert.same({ "ok", "pipe" }, own.proceed_on)
  end)

  it("refuses empty lists", function()
    assert.equal("--global needs NAME=VALUE", (complaint(load .. "-g xdp -i v0 -p 1")))
    assert.equal("--global needs NAME=VALUE", (complaint("load-from-file -g -p x -n f xdp")))
    assert.equal("--proceed-on needs a verdict: aborted, drop, pass, tx, redirect, "
      .. "dispatcher_return", (complaint(load .. "xdp --proceed-on -i v0 -p 1")))
    assert.equal("--proceed-on needs a verdict: aborted, drop, pass, tx, redirect, "
      .. "dispatcher_return", (complaint(load .. "xdp -i v0 -p 1 --proceed-on")))
  end)

  it("takes -q, --output and --socket anywhere", function()
    local _, _, common = parsed("-q " .. load .. "--output json xdp -i v0 -p 1 --socket /s")
    assert.same({ quiet = true, output = "json", socket = "/s" }, common)
    _, _, common = parsed "list -o json -a"
    assert.same({ output = "json" }, common)
    _, _, common = parsed(load .. "xdp -o json -i v0 -p 1")
    assert.same({ output = "json" }, common)
    _, _, common = parsed("-ojson " .. load .. "kprobe -f f -o 4")
    assert.same({ output = "json" }, common)
  end)

  it("means the offset by -o behind kprobe and uprobe", function()
    local _, own, common = parsed(load .. "kprobe -f try_to_wake_up -o 16")
    assert.equal(16, own.offset)
    assert.same({}, common)
    _, own = parsed(load .. "uprobe -t libc -o 0x10")
    assert.equal(16, own.offset)
    local answer <const> = "offset must be a number; for the output format write --output json"
    assert.equal(answer, (complaint(load .. "kprobe -f f -o json")))
    assert.equal(answer, (complaint(load .. "uprobe -f f -t libc -o table")))
    _, own, common = parsed(load .. "kprobe -f f --output json")
    assert.is_nil(own.offset)
    assert.equal("json", common.output)
  end)

  it("refuses a single-valued option that comes twice, and allows flags to", function()
    assert.equal("--path is given twice", (complaint("load-from-file -p a -n f --path b xdp")))
    assert.equal("--priority is given twice", (complaint(load .. "xdp -i v0 -p 1 -p 1")))
    assert.equal("--output is given twice", (complaint "list -o json --output=table"))
    assert.equal("--socket is given twice", (complaint "--socket a list --socket b"))
    assert.is_true(parsed("list -a -a").all)
  end)

  it("takes values behind =, behind the letter, and letters in one word", function()
    local list = parsed "list -ap xdp"
    assert.same({ all = true, program_type = { "xdp" } }, list)
    assert.same({ program_type = { "xdp", "tc" } }, (parsed "list -pxdp --program-type=tc"))
    local _, own = parsed(load .. "xdp -iv0 -p=50")
    assert.same({ iface = "v0", priority = 50 }, own)
    assert.equal("--all takes no value", (complaint "list --all=yes"))
  end)

  it("says out of range, not unknown, of a negative number", function()
    assert.equal("--priority must be from 0 to 2147483647, not -1",
      (complaint(load .. "xdp -i v0 -p -1")))
    assert.equal("--priority must be from 0 to 2147483647, not 2147483648",
      (complaint(load .. "xdp -i v0 -p 2147483648")))
    assert.equal("--priority must be from 0 to 2147483647, not 99999999999999999999",
      (complaint(load .. "xdp -i v0 -p 99999999999999999999")))
    assert.equal("--priority must be a number, not 'high'",
      (complaint(load .. "xdp -i v0 -p high")))
    assert.equal("--priority must be a number, not '1e3'", (complaint(load .. "xdp -i v0 -p 1e3")))
    assert.equal("ID must be from 1 to 4294967295, not -1", (complaint "get -1"))
    assert.equal("ID must be a number, not 'abc'", (complaint "get abc"))
    assert.equal("ID must be from 1 to 4294967295, not 4294967296", (complaint "unload 4294967296"))
  end)

  it("takes everything behind -- as it stands", function()
    assert.same({ id = { 5, 6 } }, (parsed "unload -- 5 6"))
    assert.equal("ID must be a number, not '-x'", (complaint "unload -- -x"))
    assert.equal("ID must be a number, not 'help'", (complaint "unload -- help"))
    local common, own = parsed("load-from-file -p x -n f -g A=01 -- xdp -i v0 -p 1")
    assert.same({ A = "01" }, common.global)
    assert.equal("v0", own.iface)
  end)

  it("names the nearest known one of what it does not know", function()
    local message, path = complaint "lsit"
    assert.equal("no command 'lsit'; did you mean list?", message)
    assert.equal("", path)
    message, path = complaint(load .. "xpd -i v0")
    assert.equal("no program type 'xpd'; did you mean xdp?", message)
    assert.equal("load-from-file", path)
    message, path = complaint(load .. "xdp --ifcae v0")
    assert.equal("no option --ifcae; did you mean --iface?", message)
    assert.equal("load-from-file xdp", path)
    assert.equal("no option --pth; did you mean --path?", (complaint "load-from-file --pth=x"))
    assert.equal("no option -P; did you mean -p?", (complaint "list -P xdp"))
    assert.equal("--output has no value 'jsn'; did you mean json?", (complaint "list -o jsn"))
    assert.equal("--proceed-on has no value 'paas'; did you mean pass?",
      (complaint(load .. "xdp -i v0 -p 1 --proceed-on paas")))
    assert.equal("--direction has no value 'in'; did you mean ingress?",
      (complaint(load .. "tc -i v0 -p 1 -d in")))
    assert.equal("--program-type has no value 'tracepont'; did you mean tracepoint?",
      (complaint "list -p tracepont"))
    assert.equal("--pull-policy has no value 'always'; did you mean Always?",
      (complaint "pull-bytecode -i x -p always"))
  end)

  it("takes --registry_auth as the guide spells it", function()
    assert.equal("abc", parsed("pull-bytecode -i x --registry_auth abc").registry_auth)
    assert.equal("abc", parsed("pull-bytecode -i x --registry-auth abc").registry_auth)
  end)

  it("names all that is missing", function()
    local message, path = complaint "load-from-file xdp -i v0 -p 1"
    assert.equal("load-from-file needs --path <PATH> and --name <NAME>", message)
    assert.equal("load-from-file", path)
    assert.equal("xdp needs --iface <IFACE> and --priority <PRIORITY>", (complaint(load .. "xdp")))
    assert.equal("tc needs --direction <DIRECTION>", (complaint(load .. "tc -i v0 -p 1")))
    assert.matches("^load%-from%-file needs a program type: xdp, tc, tracepoint", (complaint(load)))
    assert.equal("get needs <ID>", (complaint "get"))
    assert.equal("--name needs a value: --name <NAME>", (complaint "load-from-file -n --path x"))
    assert.equal("get takes one ID, '6' is too much", (complaint "get 5 6"))
    assert.equal("list takes no argument 'all'", (complaint "list all"))
    local inner, path_of_inner = complaint "map list 5 6"
    assert.equal("list takes one PROGRAM_ID, '6' is too much", inner)
    assert.equal("map list", path_of_inner)
    assert.equal("map needs a command: list, show, get, set, delete, watch", (complaint "map"))
    assert.equal("no command 'lst'; did you mean list?", (complaint "map lst"))
  end)

  it("refuses metadata without an equals sign and takes lists of it", function()
    assert.equal("--metadata must be KEY=VALUE, not 'owner'",
      (complaint(load .. "-m owner xdp -i v0 -p 1")))
    assert.equal("--metadata must be KEY=VALUE, not '=x'",
      (complaint(load .. "-m =x xdp -i v0 -p 1")))
    assert.equal("--metadata names a twice", (complaint(load .. "-m a=1 -m a=2 xdp -i v0 -p 1")))
    assert.same({ owner = "acme", zone = "b", empty = "", url = "a=b" },
      (parsed(load .. "-m owner=acme,zone=b -m empty= -m url=a=b xdp -i v0 -p 1")).metadata)
    assert.same({ owner = "acme" }, (parsed "list -m owner=acme").metadata_selector)
  end)

  it("takes a selector that can be read", function()
    assert.equal("owner=acme,!zone", parsed("list --selector owner=acme,!zone").selector)
    assert.matches("^%-%-selector cannot be read: KEY=VALUE, ", (complaint "list --selector =a"))
  end)

  it("refuses globals that cannot be", function()
    assert.equal("--global A: '012' has an odd number of hexadecimal digits",
      (complaint(load .. "-g A=012 xdp -i v0 -p 1")))
    assert.equal("--global sets A twice", (complaint(load .. "-g A=01 A=02 xdp -i v0 -p 1")))
  end)

  it("checks what a type asks for", function()
    assert.equal("--tracepoint must be CATEGORY/NAME, as in sched/sched_switch",
      (complaint(load .. "tracepoint -t sched_switch")))
    assert.equal("--offset is not allowed with --retprobe",
      (complaint(load .. "kprobe -f f -r -o 4")))
    assert.equal("--offset is not allowed with --retprobe and --fn-name",
      (complaint(load .. "uprobe -f f -t libc -r -o 4")))
    assert.equal("uprobe needs --fn-name <FN_NAME>, --offset <OFFSET> or both",
      (complaint(load .. "uprobe -t libc")))
    local _, own = parsed(load .. "uprobe -f malloc -t libc -r -p 7 --container-pid 8")
    assert.same({ fn_name = "malloc", target = "libc", retprobe = true, pid = 7,
      container_pid = 8 }, own)
    _, own = parsed(load .. "tcx -i v0 -p 1 -d egress --netns blue")
    assert.same({ iface = "v0", priority = 1, direction = "egress", netns = "blue" }, own)
    assert.matches("^no option %-%-proceed%-on; did you mean ",
      (complaint(load .. "tcx -i v0 -p 1 -d egress --proceed-on ok")))
  end)

  it("shows help wherever it is asked for, whatever else is missing", function()
    for line, page in pairs {
      ["help"] = "", ["-h"] = "", ["help list"] = "list", ["list help"] = "list",
      ["list -ah"] = "list", ["help load-from-file xdp"] = "load-from-file xdp",
      ["load-from-file help xdp"] = "load-from-file xdp",
      ["load-from-file xdp -h"] = "load-from-file xdp",
      ["load-from-file xdp help"] = "load-from-file xdp",
      ["load-from-file -p x --help"] = "load-from-file", ["help help"] = "",
      ["get help"] = "get", ["-q help get -o json"] = "get",
    } do
      local invocation, problem = parse(line)
      assert.is_nil(problem)
      assert.is_true(invocation.shows_help)
      assert.equal(page, table.concat(invocation.level.path, " "))
    end
    assert.equal("no command 'lst'; did you mean list?", (complaint "help lst"))
  end)
end)
