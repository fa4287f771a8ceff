-- bpfctl image generate-keys, sign and verify, as a user has them: without a daemon.
local uv = require "luv"
local dkjson = require "dkjson"
local bpfctl = require "spec.support.bpfctl"
local process = require "spec.support.process"
local server = require "spec.support.registry"

local BUILD <const> = os.getenv "BUILD"
local directory <const> = ("/tmp/bpfd-spec-%d-sign"):format(uv.os_getpid())

local function write(name, text)
  local file <close> = assert(io.open(directory .. "/" .. name, "w"))
  file:write(text)
end

describe("bpfctl image", function()
  local registry, image

  local function run(words, options)
    options = options or {}
    options.cwd = directory
    options.env = { HOME = directory, XDG_RUNTIME_DIR = false, REGISTRY_AUTH_FILE = false }
    return bpfctl.run(nil, words, options)
  end

  local function check(...)
    local result = run { ... }
    assert.equal(0, result.exit, result.stderr)
    return result.stdout
  end

  local function refused(why, ...)
    local result = run { ... }
    assert.equal("", result.stdout)
    assert.equal(1, result.exit)
    assert.is_truthy(result.stderr:find(why, 1, true), result.stderr)
  end

  setup(function()
    assert(uv.fs_mkdir(directory, 448))
    registry = server.start { users = { alice = "secret" } }
    write("auth.json", ('{"auths":{"%s":{"auth":"YWxpY2U6c2VjcmV0"}}}'):format(registry.host))
    process.check { "mkdir", "-p", directory .. "/.docker" }
    process.check { "mv", directory .. "/auth.json", directory .. "/.docker/config.json" }
    image = registry.host .. "/acme/x:1"
    check("image", "build", "-i", image, "--object", BUILD .. "/objects/return_only.o",
      "--layout", "layout")
    check("image", "push", "-i", image, "--layout", "layout", "--plain-http")
    write("passphrase", "of the key\n")
    write("none", "")
  end)

  teardown(function()
    registry:close()
    process.check { "rm", "-rf", directory }
  end)

  it("makes keys, signs with them and verifies", function()
    assert.equal("private key acme.key\npublic key acme.pub\n",
      check("image", "generate-keys", "--key", "acme.key", "--passphrase-file", "passphrase"))
    assert.equal(tonumber("100600", 8), uv.fs_stat(directory .. "/acme.key").mode)
    assert.equal(tonumber("100644", 8), uv.fs_stat(directory .. "/acme.pub").mode)
    local verify <const> = { "image", "verify", "-i", image, "--key", "acme.pub", "--plain-http" }
    refused(("verifying %s: the image is not signed"):format(image), table.unpack(verify))

    local signed = check("image", "sign", "-i", image, "--key", "acme.key", "--plain-http",
      "--passphrase-file", "passphrase")
    local digest = signed:match("^signed " .. image:gsub("%p", "%%%0") .. " (sha256:%x+)\n$")
    assert.is_truthy(digest, signed)
    assert.equal(table.concat {
      " Signature\n", ("-"):rep(12), "\n Image URL:  ", image, "\n Digest:     ", digest,
      "\n Decision:   signed\n Signed By:  acme.pub\n",
      " Reason:     a signature by the key is good\n" }, check(table.unpack(verify)))
    assert.same({ image_url = image, digest = digest, decision = "signed", signed_by = "acme.pub",
      reason = "a signature by the key is good" },
      dkjson.decode(check("-o", "json", table.unpack(verify))))
    assert.equal("", check("-q", table.unpack(verify)))

    check("image", "generate-keys", "--key", "other", "--passphrase-file", "none")
    refused("no signature of the image is good: it is by another key", "image", "verify", "-i",
      image, "--key", "other.pub", "--plain-http")
    local result = run({ "image", "sign", "-q", "-i", image, "--key", "other", "--plain-http",
      "--passphrase-file", "-" }, { stdin = "\n" })
    assert.equal(digest .. "\n", result.stdout, result.stderr)
    check("image", "verify", "-i", image, "--key", "other.pub", "--plain-http")
    check(table.unpack(verify))
  end)

  it("overwrites no key", function()
    write("taken.pub", "mine")
    refused("taken.pub is there already", "image", "generate-keys", "--key", "taken.key",
      "--passphrase-file", "none")
    assert.is_nil(uv.fs_stat(directory .. "/taken.key"))
    write("held", "mine")
    refused("held is there already", "image", "generate-keys", "--key", "held",
      "--passphrase-file", "none")
    assert.is_nil(uv.fs_stat(directory .. "/held.pub"))
    refused("the private key needs a passphrase; --passphrase-file PATH gives it",
      "image", "generate-keys", "--key", "none-yet")
  end)

  it("says what is wrong with a key, a passphrase, a password or a registry", function()
    check("image", "generate-keys", "--key", "good.key", "--passphrase-file", "passphrase")
    local function sign(why, key, ...)
      refused(why, "image", "sign", "-i", image, "--key", key, "--plain-http", ...)
    end
    local function verify(why, key, ...)
      refused(why, "image", "verify", "-i", image, "--key", key, ...)
    end
    sign("reading the key good.key: the private key has a passphrase, and none is given; "
      .. "--passphrase-file PATH gives it", "good.key")
    sign("the passphrase does not open the private key", "good.key", "--passphrase-file", "none")
    sign("cannot read the passphrase lacking: No such file", "good.key", "--passphrase-file",
      "lacking")
    sign("reading the key good.pub: there is no private key in it", "good.pub")
    sign("cannot read the key lacking: No such file", "lacking")
    verify("reading the key good.key: among the public keys stands: encrypted", "good.key")
    verify("--plain-http does without TLS", "good.pub")
    verify("is no base64", "good.pub", "--plain-http", "-r", "?")
    verify("does not accept the password of user alice", "good.pub", "--plain-http", "-r",
      "YWxpY2U6d3Jvbmc=")
  end)

  it("tells of credentials that it does not use when nobody is let in", function()
    write("helper.json", '{"credsStore":"desktop"}')
    check("image", "generate-keys", "--key", "third", "--passphrase-file", "none")
    local result = bpfctl.run(nil, { "image", "verify", "-i", image, "--key",
      directory .. "/third.pub", "--plain-http" },
      { env = { REGISTRY_AUTH_FILE = directory .. "/helper.json" } })
    assert.equal(1, result.exit)
    assert.is_truthy(result.stderr:find("wants a user name and a password", 1, true))
    assert.is_truthy(result.stderr:find("docker-credential-desktop, which is not run", 1, true))
  end)

  it("asks a registry only where a key is given", function()
    local result = run { "image", "verify", "-i", image, "--plain-http" }
    assert.equal(64, result.exit)
    assert.matches("%-%-plain%-http is for the registry, which is asked with %-%-key only",
      result.stderr)
  end)
end)
