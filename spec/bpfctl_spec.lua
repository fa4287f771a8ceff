-- bpfctl as a whole where no daemon is needed: exit codes and what stands on which stream.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local process = require "spec.support.process"
local core = require "bpf.core"

local function run(line, env)
  return bpfctl.run(nil, bpfctl.words(line), { env = env })
end

local function refused(exit, stderr, line, env)
  local result = run(line, env)
  assert.equal("", result.stdout)
  assert.equal(stderr, result.stderr)
  assert.equal(exit, result.exit)
end

-- Listens, and gives each client one answer for its first line, then hangs up.
local function answering(path, answer)
  local listener = assert(core.socket.listen(path))
  local watch = uv.new_poll(listener:fd())
  watch:start("r", function()
    local client <close> = assert(listener:accept())
    client:wait("r", 10)
    client:receive()
    if answer then client:send(answer) end
  end)
  return setmetatable({}, { __close = function()
    watch:close()
    uv.run "nowait"
    listener:close()
  end })
end

local function error_answer(data, code)
  return ('{"jsonrpc":"2.0","id":1,"error":{"code":%d,"message":"-","data":%s}}\n')
    :format(code or -32000, data)
end

describe("bpfctl", function()
  local directory

  before_each(function()
    directory = os.tmpname()
    os.remove(directory)
    assert(core.system.make_directory(directory))
  end)
  after_each(function() os.execute("rm -rf " .. directory) end)

  it("answers a line it does not understand in two lines and with 64", function()
    refused(64, "bpfctl: no command 'lsit'; did you mean list?\ntry 'bpfctl --help'\n", "lsit")
    refused(64, "bpfctl: --path belongs before xdp\ntry 'bpfctl load-from-file xdp --help'\n",
      "load-from-file -n pass xdp --path x.o")
    refused(64, "bpfctl: get needs <ID>\ntry 'bpfctl get --help'\n", "get")
    refused(64, "bpfctl: no command 'a\\x1bb'; did you mean get?\ntry 'bpfctl --help'\n",
      "a\27b")
  end)

  it("answers the same as JSON in one line", function()
    refused(64, [[{"error":{"code":"EINVAL","message":"get needs <ID>","doing":null,]]
      .. [["advice":"try 'bpfctl get --help'","log":null,"hook":null}}]] .. "\n", "get -o json")
  end)

  it("says where it looked for bpfd and how to start it, with 69", function()
    refused(69, "bpfctl: no bpfd at /run/none.sock; sudo systemctl start bpfd, or sudo bpfd\n",
      "list --socket /run/none.sock")
    refused(69, "bpfctl: no bpfd at /run/env.sock; sudo systemctl start bpfd, or sudo bpfd\n",
      "get 5", { BPFD_SOCKET = "/run/env.sock" })
    refused(69, "bpfctl: no bpfd at /run/none.sock; sudo systemctl start bpfd, or sudo bpfd\n",
      "unload 5 6 --socket /run/none.sock")
    refused(69, [[{"error":{"code":"ENOENT","message":"no bpfd at /run/none.sock","doing":null,]]
      .. [["advice":"sudo systemctl start bpfd, or sudo bpfd","log":null,"hook":null}}]] .. "\n",
      "list -o json --socket /run/none.sock")
    local path = directory .. "/dead.sock"
    core.socket.listen(path):close()
    refused(69, "bpfctl: no bpfd at " .. path .. "; sudo systemctl start bpfd, or sudo bpfd\n",
      "list --socket " .. path)
  end)

  it("says what to do when it may not connect, with 77", function()
    local path = directory .. "/closed.sock"
    local listener <close> = assert(core.socket.listen(path, { mode = 0 }))
    assert.is_true(listener:fd() >= 0)
    assert(os.execute(("cp %s %s/bpfctl && chmod 0755 %s"):format(bpfctl.path, directory,
      directory)))
    local line = { directory .. "/bpfctl", "list", "--socket", path }
    if core.system.identity().uid == 0 then
      line = { "/usr/bin/setpriv", "--reuid=65534", "--clear-groups", table.unpack(line) }
    end
    local result = process.run(line)
    assert.equal(("bpfctl: not permitted to connect to %s; sudo usermod -a -G bpfd $USER, then "
      .. "log in again\n"):format(path), result.stderr)
    assert.equal(77, result.exit)
  end)

  it("does not call it a success when the output cannot be written", function()
    local result = process.run { "/bin/sh", "-c", bpfctl.path .. " help >/dev/full" }
    assert.equal("bpfctl: cannot write the output: No space left on device\n", result.stderr)
    assert.equal(1, result.exit)
  end)

  it("calls it no daemon when it hangs up", function()
    local path = directory .. "/s"
    local server <close> = answering(path, nil)
    assert.is_table(server)
    refused(69, ("bpfctl: bpfd closed the connection before it answered; see the log of the bpfd "
      .. "at %s\n"):format(path), "list --socket " .. path)
  end)

  it("shows the verifier's log behind the one line", function()
    local path = directory .. "/s"
    local data <const> = [[{"code":"EACCES","message":"the verifier refused\npass","doing":]]
      .. [["loading pass from /x.o","log":"0: R1=ctx\n1:\tr0 = \u001b\n"}]]
    local server <close> = answering(path, error_answer(data))
    assert.is_table(server)
    refused(1, "bpfctl: loading pass from /x.o: the verifier refused; pass\n0: R1=ctx\n"
      .. "1:\tr0 = \\x1b\n", "get 5 --socket " .. path)
    refused(1, [[{"error":{"code":"EACCES","message":"the verifier refused\npass","doing":]]
      .. [["loading pass from /x.o","advice":null,"log":"0: R1=ctx\n1:\tr0 = \u001b\n",]]
      .. [["hook":null}}]] .. "\n", "get 5 -o json --socket " .. path)
  end)

  it("goes on with the other ids when one cannot be unloaded", function()
    local path = directory .. "/s"
    local answers <const> = error_answer [[{"message":"there is no program 5"}]]
      .. [[{"jsonrpc":"2.0","id":2,"result":{"id":6}}]] .. "\n"
    local server <close> = answering(path, answers)
    assert.is_table(server)
    refused(1, "bpfctl: there is no program 5\n", "unload 5 6 --socket " .. path)
  end)

  it("leaves with 77 where policy or the listener says no", function()
    local path = directory .. "/s"
    do
      local data <const> = [[{"message":"ask netops","hook":"site/bands"}]]
      local server <close> = answering(path, error_answer(data))
      assert.is_table(server)
      refused(77, "bpfctl: ask netops\n", "get 5 --socket " .. path)
    end
    local server <close> = answering(path, error_answer([[{"message":"not here"}]], -32001))
    assert.is_table(server)
    refused(77, "bpfctl: not here\n", "get 5 --socket " .. path)
  end)

  it("refuses files that cannot be what they should, before it asks for a daemon", function()
    local function load(path) return ("load-from-file -p %s -n f xdp -i v0 -p 1"):format(path) end
    refused(1, "bpfctl: cannot open /no/such.o: No such file or directory\n", load "/no/such.o")
    refused(1, ("bpfctl: %s is a directory, not an object file\n"):format(directory),
      load(directory))
    local fifo = directory .. "/fifo"
    assert(os.execute("mkfifo " .. fifo))
    refused(1, ("bpfctl: %s is a FIFO, not an object file\n"):format(fifo), load(fifo))
    refused(1, "bpfctl: /dev/null is a device, not an object file\n", load "/dev/null")
    local file = directory .. "/x.o"
    io.open(file, "w"):close()
    refused(1, "bpfctl: no library libnosuch in /etc/ld.so.cache; a file is named by a path with a "
      .. "slash, as in ./program\n",
      ("load-from-file -p %s -n f uprobe -f g -t libnosuch"):format(file))
    refused(1, "bpfctl: cannot open /no/program: No such file or directory\n",
      ("load-from-file -p %s -n f uprobe -f g -t /no/program"):format(file))
    refused(1, "bpfctl: cannot open /run/netns/nosuch: No such file or directory\n",
      ("load-from-file -p %s -n f xdp -i v0 -p 1 --netns nosuch"):format(file))
  end)

  it("builds and pushes images without bpfd, and says what is wrong with that", function()
    local object = bpfctl.examples .. "accept-all.o"
    local layout = directory .. "/layout"
    local function built(line)
      return run(("image build -i a/b:1 --layout %s %s"):format(layout, line))
    end
    local result = built("-q --object " .. object)
    assert.equal("", result.stderr)
    assert.matches("^sha256:%x+\n$", result.stdout)
    for line, message in pairs {
      ["--object /none.o"] = "cannot look at /none.o: No such file or directory",
      ["--object /etc/passwd"] = "building docker.io/a/b:1: /etc/passwd is not an ELF file",
      ["--object " .. object .. " --type none=xdp"] =
        "building docker.io/a/b:1: there is no program none in " .. object,
      ["--object amd64=" .. object .. " --object x86=" .. object] =
        ("building docker.io/a/b:1: %s and %s are both for amd64"):format(object, object),
      [("--object %s --object %s"):format(object, object)] = "building docker.io/a/b:1: which "
        .. ("architecture %s is for is not known; say it: --object ARCHITECTURE=%s"):format(object,
          object),
    } do
      result = built(line)
      assert.equal("bpfctl: " .. message .. "\n", result.stderr)
      assert.equal(1, result.exit)
    end
    refused(1, ("bpfctl: pushing docker.io/a/c:1: the image is not in %s\n"):format(layout),
      "image push -i a/c:1 --layout " .. layout)
    refused(1, "bpfctl: /none is no OCI image layout: it has no file oci-layout; with --layout DIR "
      .. "it needs neither bpfd nor root\n", "image push -i a/c:1 --store /none")
    refused(64, "bpfctl: --object names no architecture: 'vax'\ntry 'bpfctl image build --help'\n",
      "image build -i a/b:1 --object vax=" .. object)
  end)

  it("looks at an image's name and at credentials before it asks bpfd", function()
    refused(1, "bpfctl: cannot read the image reference 'quay.io/Acme/x' from 'Acme/x' on: a "
      .. "repository is small letters and digits, with one of . _ __ - between them, in parts "
      .. "between which / stands\n", "pull-bytecode -i quay.io/Acme/x")
    refused(1, "bpfctl: the registry authentication is no base64; printf '%s' USER:PASSWORD | "
      .. "base64 prints it\n", "pull-bytecode -i quay.io/acme/x -r ?")
    refused(1, "bpfctl: the registry authentication has no colon between user name and password; "
      .. "printf '%s' USER:PASSWORD | base64 prints it\n",
      "load-from-image -i quay.io/acme/x -r YWJj uprobe -t libc -f malloc")
    refused(64, "bpfctl: pull-bytecode needs --image-url <IMAGE_URL>\n"
      .. "try 'bpfctl pull-bytecode --help'\n", "pull-bytecode")
  end)
end)
