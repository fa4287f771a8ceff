-- Images from a real registry, as a user loads them: written by umoci and skopeo and by bpfctl,
-- read back by skopeo, wrong ones refused.
local uv = require "luv"
local json = require "bpf.json"
local bpfctl = require "spec.support.bpfctl"
local daemon = require "spec.support.daemon"
local files = require "spec.support.files"
local namespace = require "spec.support.namespace"
local oci = require "spec.support.oci"
local process = require "spec.support.process"
local registry = require "spec.support.registry"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local EXAMPLES <const> = assert(uv.fs_realpath(bpfctl.examples)) .. "/"
local PASS <const> = EXAMPLES .. "xdp_pass_kern.o"
local ACCEPT <const> = EXAMPLES .. "accept-all.o"
local COUNTER <const> = EXAMPLES .. "go-xdp-counter/bpf_bpfel.o"

describe("images", function()
  local directory = ("/tmp/bpfd-spec-%d-images"):format(uv.os_getpid())
  local layout <const> = directory .. "/layout"
  local near, far, served, bpfd

  setup(function()
    assert(uv.fs_mkdir(directory, 448))
    near, far = namespace.new(), namespace.new()
    namespace.join(near, far, "veth0")
    -- the registry stands on the loopback of this very namespace, and so does bpfd
    served = registry.start()
    bpfd = daemon.start { config = ([[return {
      registries = { ["%s"] = { plain_http = true } }, images = { object_size = "1MiB" },
    }]]):format(served.host) }
  end)

  teardown(function()
    if bpfd then bpfd:close() end
    if served then served:close() end
    near:close()
    far:close()
    process.check { "rm", "-rf", directory }
  end)

  after_each(function()
    rpc.unload_all(bpfd)
    bpfd:check("image", "prune", "--all")
    process.check { "rm", "-rf", layout }
  end)

  local function url(name) return served.host .. "/" .. name end

  local function push(name, ...)
    return bpfd:check("-q", "image", "push", "-i", url(name), "--layout", layout, "--plain-http",
      ...)
  end

  -- Built and pushed; its digest.
  local function publish(name, ...)
    bpfd:check("-q", "image", "build", "-i", url(name), "--layout", layout, ...)
    return (push(name):match "^(%S+)\n$")
  end

  -- Put together by the spec, and pushed.
  local function publish_parts(name, parts)
    oci.put(layout, url(name), parts)
    return push(name)
  end

  local function load(...) return bpfd:bpfctl("load-from-image", ...) end

  local tc <const> = { "tc", "-d", "ingress", "-i", "lo", "-p", "50" }
  local xdp <const> = { "xdp", "-i", "lo", "-p", "50" }

  local function load_tc(...)
    local line = { ... }
    table.move(tc, 1, #tc, #line + 1, line)
    return load(table.unpack(line))
  end

  local function refused(result, pattern)
    assert.equal("", result.stdout)
    assert.matches(pattern, result.stderr)
    assert.equal(1, result.exit)
  end

  describe("by umoci, copied by skopeo,", function()
    local function copy(tag, name, ...)
      process.check { "skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false",
        "oci:" .. layout .. ":" .. tag, "docker://" .. url(name), ... }
    end

    local older <const> = { ["io.ebpf.program_type"] = "tc", ["io.ebpf.filename"] = "accept-all.o",
      ["io.ebpf.program_name"] = "accept", ["io.ebpf.bpf_function_name"] = "accept" }

    for _, form in ipairs { "oci", "v2s2" } do
      it(("are loaded, in the form %s, and shown as the guide shows them"):format(form), function()
        oci.by_umoci(layout, "accept", { ["/accept-all.o"] = ACCEPT }, older)
        copy("accept", "acme/accept:" .. form, "--format", form)
        local printed = bpfd:check("-q", "load-from-image", "--image-url",
          url("acme/accept:" .. form), table.unpack(tc))
        local id = printed:match "^(%d+)\n$"
        local ours = bpfctl.rows(bpfd:check("get", id))
        assert.equal("accept", ours.Name)
        assert.equal(url("acme/accept:" .. form), ours["Image URL"])
        assert.equal("IfNotPresent", ours["Pull Policy"])
        assert.is_nil(ours.Path)
        assert.is_nil(ours["Signed By"])
        local object = bpfd:json("get", id)
        assert.equal("sha256:" .. require("bpf.core").system.sha256(files.read(ACCEPT)),
          object.digest)
        assert.equal(json.decode "null", object.path)
      end)
    end

    it("have both forms of labels", function()
      oci.by_umoci(layout, "pass", { ["/xdp_pass_kern.o"] = PASS }, {
        ["io.ebpf.programs"] = '{"pass":"xdp","xdp":"xdp"}', ["io.ebpf.maps"] = "{}",
      })
      copy("pass", "acme/pass:1")
      refused(load("-i", url "acme/pass:1", table.unpack(xdp)), "^pulling [^\n]*\n.*bpfctl: "
        .. "loading a program from " .. url "acme/pass:1" .. ": it has 2 programs: pass, xdp; "
        .. "choose one with %-%-name\n$")
      local program = bpfd:json("load-from-image", "-i", url "acme/pass:1", "-n", "xdp",
        table.unpack(xdp))
      assert.equal("xdp", program.name)
      refused(load("-i", url "acme/pass:1", "-n", "xpd", table.unpack(xdp)),
        "^bpfctl: loading xpd from .*: there is no program xpd; did you mean xdp%?")
    end)

    it("have one object, or a label that says which", function()
      oci.by_umoci(layout, "two", { ["/a.o"] = ACCEPT, ["/b.o"] = PASS }, older)
      copy("two", "acme/two:1")
      refused(load_tc("-i", url "acme/two:1"), "it has 2 layers; a bytecode image has one")
      publish_parts("acme/two:2", { labels = older, layers = { oci.layer {
        { name = "a.o", data = files.read(ACCEPT) }, { name = "b.o", data = files.read(PASS) },
      } } })
      refused(load_tc("-i", url "acme/two:2"),
        "it has 2 eBPF objects where one was expected: a.o, b.o\n$")
      publish_parts("acme/two:3", { labels = older, layers = { oci.layer {
        { name = "b.o", data = files.read(PASS) },
        { name = "accept-all.o", data = files.read(ACCEPT) },
      } } })
      assert.equal(0, load_tc("-i", url "acme/two:3").exit)
    end)
  end)

  it("of ours are read back by skopeo, and are the same bytes each time", function()
    local digest = publish("acme/counter:1", "--object", COUNTER)
    local seen = json.decode(process.check { "skopeo", "inspect", "--tls-verify=false",
      "docker://" .. url "acme/counter:1" })
    assert.equal(digest, seen.Digest)
    assert.equal('{"xdp_stats":"xdp"}', seen.Labels["io.ebpf.programs"])
    assert.equal('{"xdp_stats_map":"percpu_array"}', seen.Labels["io.ebpf.maps"])
    assert.equal("xdp_stats", seen.Labels["io.ebpf.bpf_function_name"])
    process.check { "rm", "-rf", layout }
    assert.equal(digest, publish("acme/counter:1", "--object", COUNTER))
    local copied = directory .. "/copied"
    process.check { "skopeo", "copy", "--quiet", "--insecure-policy", "--src-tls-verify=false",
      "docker://" .. url "acme/counter:1", "dir:" .. copied }
    local manifest = json.decode(files.read(copied .. "/manifest.json"))
    process.check { "sh", "-c", ("tar -xzf %s/%s -C %s"):format(copied,
      manifest.layers[1].digest:sub(8), copied) }
    assert.is_true(files.read(COUNTER) == files.read(copied .. "/bpf_bpfel.o"))
    assert.equal("0", process.check({ "stat", "-c", "%Y", copied .. "/bpf_bpfel.o" }):match "%d+")
    process.check { "rm", "-rf", copied }
  end)

  it("for several architectures come in one index, of which this machine's is loaded", function()
    publish("acme/multi:1", "--object", "amd64=" .. ACCEPT, "--object", "arm64=" .. PASS,
      "--object", "s390x=" .. COUNTER)
    local raw = json.decode(process.check { "skopeo", "inspect", "--raw", "--tls-verify=false",
      "docker://" .. url "acme/multi:1" })
    local platforms = {}
    for i, each in ipairs(raw.manifests) do platforms[i] = each.platform.architecture end
    assert.same({ "amd64", "arm64", "s390x" }, platforms)
    local machine = uv.os_uname().machine
    local name = ({ x86_64 = "accept", aarch64 = "pass", s390x = "xdp_stats" })[machine]
    local program = bpfd:json("load-from-image", "-i", url "acme/multi:1", "-n", name,
      table.unpack(name == "accept" and tc or xdp))
    assert.equal(name, program.name)
    publish("acme/other:1", "--object", "mips64le=" .. ACCEPT, "--object", "loong64=" .. PASS)
    refused(load_tc("-i", url "acme/other:1"),
      "the image has nothing for linux/%w+; there is linux/loong64, linux/mips64le")
  end)

  it("are pulled as the policy says, and not once more", function()
    local one <const> = url "acme/moves:1"
    local function name_of(...) return bpfd:json("load-from-image", "-i", one, ...).name end
    refused(load("-i", one, "-p", "Never", table.unpack(tc)), "bpfctl: loading a program from "
      .. one .. ": the image is not in the store; the pull policy Never asks no registry; "
      .. "IfNotPresent would\n$")
    publish("acme/moves:1", "--object", ACCEPT)
    assert.equal("accept", name_of(table.unpack(tc)))
    process.check { "rm", "-rf", layout }
    publish("acme/moves:1", "--object", COUNTER) -- the tag is another image's now
    assert.equal("accept", name_of("-p", "IfNotPresent", table.unpack(tc)))
    assert.equal("accept", name_of("-p", "Never", table.unpack(tc)))
    assert.equal("xdp_stats", name_of("-p", "Always", table.unpack(xdp)))
    assert.equal("xdp_stats", name_of("-p", "Never", table.unpack(xdp)))
    -- what the first program came from is still there, without the name
    local list = bpfd:json("image", "list")
    assert.equal(2, #list)
    bpfd:check("image", "prune", "--all")
    assert.equal(2, #bpfd:json("image", "list"))
    rpc.unload_all(bpfd)
    bpfd:check("image", "prune", "--all")
    assert.equal(0, #bpfd:json("image", "list"))
  end)

  it("are fetched by their digest", function()
    local digest = publish("acme/fixed:1", "--object", ACCEPT)
    local program = bpfd:json("load-from-image", "-i", url "acme/fixed" .. "@" .. digest,
      table.unpack(tc))
    assert.equal("accept", program.name)
    refused(load_tc("-i", url "acme/fixed" .. "@sha256:" .. ("0"):rep(64)), "404 Not Found")
  end)

  it("are pulled ahead, with the guide's line, and loaded without the registry", function()
    publish("acme/ahead:1", "--object", ACCEPT)
    local pulled = bpfd:bpfctl("pull-bytecode", "--image-url", url "acme/ahead:1")
    assert.equal("Successfully downloaded bytecode\n", pulled.stdout)
    assert.matches("^pulling " .. url "acme/ahead:1" .. ": [^\n]+\n", pulled.stderr)
    assert.equal("Successfully downloaded bytecode\n",
      bpfd:check("pull-bytecode", "-i", url "acme/ahead:1"))
    assert.equal("Successfully downloaded bytecode\n",
      bpfd:check("pull-bytecode", "-p", "Never", "-i", url "acme/ahead:1"))
    local quiet = bpfd:bpfctl("-q", "pull-bytecode", "-p", "Always", "-i", url "acme/ahead:1")
    assert.equal("", quiet.stdout .. quiet.stderr)
    served.process:signal "sigstop"
    local result = load_tc("-i", url "acme/ahead:1")
    served.process:signal "sigcont"
    assert.equal(0, result.exit)
  end)

  it("are listed, looked at and removed", function()
    local digest = publish("acme/shown:1", "--object", ACCEPT)
    bpfd:check("pull-bytecode", "-i", url "acme/shown:1")
    local listed = bpfd:check("image", "list")
    assert.matches("^ Image URL +Digest +Size +Programs +Used By +Last Used\n", listed)
    assert.matches("\n " .. url "acme/shown:1" .. " +" .. digest:sub(8, 19) .. " +%S+ KiB +accept",
      listed)
    assert.equal(url "acme/shown:1" .. "\n", bpfd:check("-q", "image", "list"))
    local shown = bpfd:check("image", "inspect", url "acme/shown:1")
    assert.matches("\n Programs: +accept %(tc%)\n", shown)
    local id = bpfd:json("load-from-image", "-i", url "acme/shown:1", table.unpack(tc)).id
    assert.same({ id }, bpfd:json("image", "inspect", url "acme/shown:1").used_by)
    refused(bpfd:bpfctl("image", "remove", url "acme/shown:1"),
      ("is needed by program %d; unload it first\n$"):format(id))
    bpfd:check("unload", tostring(id))
    assert.equal("", bpfd:check("image", "remove", url "acme/shown:1"))
    refused(bpfd:bpfctl("image", "remove", url "acme/shown:1"),
      "acme/shown:1 is not in the store; bpfctl image list shows what is\n$")
    assert.equal("", bpfd:check("image", "remove", "--missing-ok", url "acme/shown:1"))
    refused(bpfd:bpfctl("image", "inspect", url "acme/shown:1"),
      "^bpfctl: looking at .*: the image is not in the store; bpfctl pull%-bytecode fetches it\n$")
  end)

  it("are built straight into the store, and pushed out of it", function()
    local store = bpfd.state_dir .. "/images"
    bpfd:check("image", "build", "-i", url "acme/here:1", "--object", ACCEPT, "--store", store)
    assert.equal("accept", bpfd:json("load-from-image", "-p", "Never", "-i", url "acme/here:1",
      table.unpack(tc)).name)
    bpfd:check("image", "push", "-i", url "acme/here:1", "--store", store, "--plain-http")
    assert.equal("Successfully downloaded bytecode\n",
      bpfd:check("pull-bytecode", "-p", "Always", "-i", url "acme/here:1"))
  end)

  it("are opened by the example, without a daemon", function()
    publish("acme/example:1", "--object", COUNTER)
    local printed = process.check { "lua5.4", "examples/image.lua", url "acme/example:1",
      directory .. "/example", "plain" }
    assert.matches("^" .. url "acme/example:1" .. " sha256:%x+\nbpf_bpfel.o, %d+ bytes, [^\n]+\n"
      .. "program xdp_stats %(xdp%)\nmap xdp_stats_map %(percpu_array%)\n$", printed)
  end)

  describe("behind a password", function()
    local guarded, other
    local auth <const> = "YWxpY2U6dmVyeS1zZWNyZXQ=" -- alice:very-secret

    setup(function()
      guarded = registry.start { users = { alice = "very-secret" } }
      other = daemon.start { config = ([[return {
        registries = { ["%s"] = { plain_http = true } } }]]):format(guarded.host) }
    end)

    teardown(function()
      if other then other:close() end
      if guarded then guarded:close() end
    end)

    local function name() return guarded.host .. "/acme/secret:1" end

    local function publish_guarded()
      other:check("image", "build", "-i", name(), "--object", ACCEPT, "--layout", layout)
      other:check("image", "push", "-i", name(), "--layout", layout, "--plain-http", "-r", auth)
    end

    it("are for who has it, and it is nowhere afterwards", function()
      publish_guarded()
      refused(other:bpfctl("pull-bytecode", "-i", name()), "wants a user name and a password")
      refused(other:bpfctl("pull-bytecode", "-i", name(), "-r", "YWxpY2U6d3Jvbmc="),
        "the registry does not accept the password of user alice")
      refused(other:bpfctl("pull-bytecode", "-i", name(), "-r", "?"), "is no base64")
      refused(other:bpfctl("pull-bytecode", "-i", name(), "-r", "YWxpY2U="), "has no colon")
      other:check("load-from-image", "-i", name(), "-r", auth, "tc", "-d", "ingress", "-i", "lo",
        "-p", "50")
      assert.equal(0, process.run({ "grep", "-rqF", name(), other.state_dir, other.log }).exit)
      for _, word in ipairs { auth, "very-secret" } do
        assert.equal(1, process.run({ "grep", "-rqF", word, other.state_dir, other.log }).exit)
      end
      rpc.unload_all(other)
    end)

    it("are pulled by the user's own auth file, which the client reads", function()
      publish_guarded()
      local path = directory .. "/auth.json"
      local file = assert(io.open(path, "w"))
      file:write(('{"auths":{"%s":{"auth":"%s"}}}'):format(guarded.host, auth))
      file:close()
      local result = bpfctl.run(other, { "pull-bytecode", "-p", "Always", "-i", name() },
        { env = { REGISTRY_AUTH_FILE = path } })
      assert.equal("", result.stderr:gsub("pulling [^\n]*\n", ""), nil)
      assert.equal(0, result.exit)
    end)
  end)

  it("in the store are read by skopeo", function()
    publish("acme/read:1", "--object", ACCEPT)
    bpfd:check("pull-bytecode", "-i", url "acme/read:1")
    local seen = json.decode(process.check { "skopeo", "inspect",
      ("oci:%s/images:%s"):format(bpfd.state_dir, url "acme/read:1") })
    assert.equal('{"accept":"tc"}', seen.Labels["io.ebpf.programs"])
  end)

  it("that are corrupted on the disk are noticed, and fetched again", function()
    publish("acme/bits:1", "--object", ACCEPT)
    bpfd:check("pull-bytecode", "-i", url "acme/bits:1")
    local blobs = bpfd.state_dir .. "/images/blobs/sha256/"
    for name in process.check({ "ls", blobs }):gmatch "%S+" do
      local file <close> = assert(io.open(blobs .. name, "r+"))
      file:seek("set", 20)
      file:write "x"
    end
    refused(load("-i", url "acme/bits:1", "-p", "Never", table.unpack(tc)),
      "its blob sha256:%x+ is corrupted in the store")
    local result = load_tc("-i", url "acme/bits:1")
    assert.equal(0, result.exit, result.stderr)
    for name in process.check({ "ls", blobs }):gmatch "%S+" do
      assert.equal(name, process.check({ "sha256sum", blobs .. name }):match "^%x+")
    end
  end)

  it("are what a policy decides of", function()
    publish("acme/judged:1", "--object", ACCEPT)
    bpfd:policy("images.lua", [[return hooks.add {
      name = "site/images", on = { "program.load", "image.pull" },
      run = function(event)
        if event.on == "image.pull" then
          if event.tag == "2" then return hooks.deny("not " .. event.image_url) end
          return
        end
        local image = event.image
        return hooks.deny(("%s %s %s %s"):format(event.name, image.image_url, image.digest,
          tostring(image.signed_by)))
      end }]])
    assert(rpc.call(bpfd, "policy.reload"))
    local result = load_tc("-i", url "acme/judged:1")
    local second = bpfd:bpfctl("pull-bytecode", "-i", url "acme/judged:2")
    bpfd:policy("images.lua", nil)
    assert(rpc.call(bpfd, "policy.reload"))
    assert.matches("accept " .. url "acme/judged:1" .. " sha256:%x+ nil", result.stderr)
    assert.equal(77, result.exit)
    assert.matches("not " .. url "acme/judged:2", second.stderr)
  end)

  local elf <const> = files.read(ACCEPT)
  local labels <const> = { ["io.ebpf.programs"] = '{"accept":"tc"}' }
  local object <const> = { name = "x.o", data = elf }
  local function layer(...) return { labels = labels, layers = { oci.layer { ... } } } end
  local hostile <const> = {
    { "an absolute path", layer(object, { name = "/etc/cron.d/x", data = "x" }),
      "its entry /etc/cron.d/x has an absolute path" },
    { "a way out", layer(object, { name = "../../x", data = "x" }),
      "its entry ../../x leads out of it" },
    { "a link", layer { name = "x.o", type = "link", target = "/etc/shadow" },
      "its entry x.o is a link" },
    { "a device", layer(object, { name = "sda", type = "block_device" }),
      "its entry sda is neither file nor directory" },
    { "ten thousand entries", layer(table.unpack((function()
      local entries = {}
      for i = 1, 10000 do entries[i] = { name = "f" .. i, data = "" } end
      return entries
    end)())), "it has more than 1000 entries" },
    { "an object over the limit", layer { name = "x.o", data = elf .. ("\0"):rep(1 << 20) },
      "its object x.o is larger than 1048576 bytes %(images.object_size%)" },
    { "a bomb", { labels = labels, layers = { require("spec.support.tar").gzip(
      require("spec.support.tar").entry { name = "zeros", size = 1 << 32 })
      .. require("spec.support.tar").gzip(("\0"):rep(1 << 24)):rep(256) } },
      "it unpacks to more than" },
    { "no object", layer { name = "README", data = "x" }, "it has no eBPF layer: no eBPF object" },
    { "no layer", { labels = labels }, "it has no eBPF layer: it has no layer at all" },
    { "a layer of another kind", { labels = labels, layers = { "x" }, media_type = "text/plain" },
      "it has no eBPF layer: its layer is text/plain" },
    { "a layer that is no archive", { labels = labels, layers = { "x" } },
      "its layer is refused: it is no whole tar archive" },
    { "labels that are no JSON", { labels = { ["io.ebpf.programs"] = "pass" },
      layers = { oci.layer { object } } }, "its label io.ebpf.programs is" },
    { "a configuration that is no JSON", { config = "{", layers = { oci.layer { object } } },
      "its configuration is malformed" },
  }
  for _, case in ipairs(hostile) do
    it(("with %s are refused, and nothing of them stays"):format(case[1]), function()
      publish_parts("acme/bad:1", case[2])
      local before = residue.scan(bpfd)
      local result = load_tc("-i", url "acme/bad:1")
      refused(result, "bpfctl: [^\n]*" .. url "acme/bad:1" .. "[^\n]*" .. case[3])
      assert.equal(before, residue.settled(bpfd, before))
    end)
  end

  it("that cannot be had get an error that names them, and nothing stays", function()
    publish("acme/there:1", "--object", ACCEPT)
    local before = residue.scan(bpfd)
    for name, pattern in pairs {
      [url "acme/there:2"] = "404 Not Found", [url "acme/none:1"] = "404 Not Found",
      ["127.0.0.1:1/acme/x:1"] = "[Cc]onnect", ["nowhere.invalid/acme/x:1"] = "nowhere.invalid",
      ["quay.io/Acme/x"] = "a repository is small letters",
    } do
      local result = load_tc("-i", name)
      refused(result, "^bpfctl: [^\n]*" .. name:gsub("[%.%-]", "%%%0") .. "[^\n]*" .. pattern)
    end
    assert.equal(before, residue.settled(bpfd, before))
  end)
end)
