-- Signatures on the way from a registry into the kernel: rules are asked at each load, also of
-- images that are stored, and without any registry.
local uv = require "luv"
local bpfctl = require "spec.support.bpfctl"
local daemon = require "spec.support.daemon"
local process = require "spec.support.process"
local registry = require "spec.support.registry"
local residue = require "spec.support.residue"
local rpc = require "spec.support.rpc"

local ACCEPT <const> = assert(uv.fs_realpath(bpfctl.examples)) .. "/accept-all.o"

describe("signed images", function()
  local directory = ("/tmp/bpfd-spec-%d-signed"):format(uv.os_getpid())
  local layout <const> = directory .. "/layout"
  local served, bpfd

  local function check(...)
    return process.check { bpfctl.path, ... }
  end

  local function config(key)
    return ([[return {
      registries = { ["%s"] = { plain_http = true } },
      signatures = {
        { match = "%s/strict/*", require = "required", key = "%s" },
        { match = "%s/loose/*", require = "optional", key = "%s" },
      } }]]):format(served.host, served.host, key, served.host, key)
  end

  setup(function()
    assert(uv.fs_mkdir(directory, 448))
    served = registry.start()
    for _, name in ipairs { "ours", "others" } do
      local secret <close> = assert(io.open(directory .. "/secret", "w"))
      secret:write "open sesame\n"
      secret:flush()
      check("image", "generate-keys", "--key", directory .. "/" .. name .. ".key",
        "--passphrase-file", directory .. "/secret")
    end
    bpfd = daemon.start { config = config(directory .. "/ours.pub") }
  end)

  teardown(function()
    if bpfd then bpfd:close() end
    if served then served:close() end
    process.check { "rm", "-rf", directory }
  end)

  after_each(function()
    rpc.unload_all(bpfd)
    bpfd:check("image", "prune", "--all")
  end)

  local function url(name) return served.host .. "/" .. name end

  local function publish(name, key)
    check("-q", "image", "build", "-i", url(name), "--object", ACCEPT, "--layout", layout)
    check("-q", "image", "push", "-i", url(name), "--layout", layout, "--plain-http")
    if not key then return end
    check("-q", "image", "sign", "-i", url(name), "--key", directory .. "/" .. key .. ".key",
      "--passphrase-file", directory .. "/secret", "--plain-http")
  end

  local function load(name, policy)
    return bpfd:bpfctl("-o", "json", "load-from-image", "-i", url(name), "-p",
      policy or "IfNotPresent", "tc", "-d", "ingress", "-i", "lo", "-p", "50")
  end

  local function refused(result)
    assert.equal("", result.stdout)
    assert.equal(1, result.exit)
    assert.matches("sign", result.stderr)
  end

  it("are loaded, and tell whose key it was", function()
    publish("strict/good:1", "ours")
    local result = load "strict/good:1"
    assert.equal(0, result.exit, result.stderr)
    local id = result.stdout:match '"id":(%d+)'
    assert.equal(directory .. "/ours.pub", bpfctl.rows(bpfd:check("get", id))["Signed By"])
    assert.equal(directory .. "/ours.pub",
      bpfctl.rows("\n Bpfd State\n" .. bpfd:check("image", "inspect", url "strict/good:1"))
      ["Signed By"])
  end)

  for what, key in pairs { unsigned = false, ["signed with another key"] = "others" } do
    it(("that must be signed are refused %s, and nothing stays"):format(what), function()
      publish("strict/bad-" .. #what .. ":1", key)
      local before = residue.scan(bpfd)
      refused(load("strict/bad-" .. #what .. ":1"))
      assert.equal(before, residue.settled(bpfd, before))
    end)

    it(("that may be signed are loaded %s"):format(what), function()
      publish("loose/any-" .. #what .. ":1", key)
      local result = load("loose/any-" .. #what .. ":1")
      assert.equal(0, result.exit, result.stderr)
      assert.matches('"signed_by":null', result.stdout)
    end)
  end

  it("are checked again at each load, without the registry", function()
    publish("strict/good:2", "ours")
    bpfd:check("pull-bytecode", "-i", url "strict/good:2")
    served.process:signal "sigstop"
    local ok, failure = pcall(function()
      assert.equal(0, load("strict/good:2").exit)
      assert.equal(0, load("strict/good:2", "Never").exit)
      rpc.unload_all(bpfd)
      -- the rule has another key now
      bpfd:stop()
      local file <close> = assert(io.open(bpfd.config, "w"))
      file:write(config(directory .. "/others.pub"))
      file:flush()
      bpfd:restart()
      refused(load("strict/good:2", "Never"))
      refused(load("strict/good:2", "IfNotPresent"))
    end)
    served.process:signal "sigcont"
    bpfd:stop()
    local file <close> = assert(io.open(bpfd.config, "w"))
    file:write(config(directory .. "/ours.pub"))
    file:flush()
    bpfd:restart()
    assert(ok, failure)
  end)

  it("put into the store without a signature are not loaded where one is required", function()
    bpfd:check("image", "build", "-i", url "strict/local:1", "--object", ACCEPT, "--store",
      bpfd.state_dir .. "/images")
    refused(load("strict/local:1", "Never"))
    bpfd:check("image", "build", "-i", url "loose/local:1", "--object", ACCEPT, "--store",
      bpfd.state_dir .. "/images")
    assert.equal(0, load("loose/local:1", "Never").exit)
  end)

  it("that were pulled unsigned are loaded once somebody has signed them", function()
    publish "strict/late:1"
    refused(load "strict/late:1")
    check("-q", "image", "sign", "-i", url "strict/late:1", "--key", directory .. "/ours.key",
      "--passphrase-file", directory .. "/secret", "--plain-http")
    assert.equal(0, load("strict/late:1").exit)
  end)
end)
