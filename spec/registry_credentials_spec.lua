-- Who asks a registry: --registry-auth, and the files of Podman and Docker.
local uv = require "luv"
local base64 = require "bpf.base64"
local credentials = require "bpf.registry.credentials"
local challenge = require "bpf.registry.challenge"
local reference = require "bpf.registry.reference"
local process = require "spec.support.process"

local directory <const> = ("/tmp/bpfd-spec-%d-credentials"):format(uv.os_getpid())

local function write(path, text)
  local whole = directory .. "/" .. path
  process.check { "mkdir", "-p", (whole:match "^(.*)/") }
  local file <close> = assert(io.open(whole, "w"))
  file:write(text)
end

local function auths(entries)
  local parts = {}
  for key, user in pairs(entries) do
    parts[#parts + 1] = ('"%s": {"auth": "%s"}'):format(key, base64.encode(user .. ":password"))
  end
  return '{"auths": {' .. table.concat(parts, ",") .. "}}"
end

describe("base64", function()
  it("is what every other tool makes of it", function()
    for text, encoded in pairs {
      [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", ["\0\255\254"] = "AP/+",
    } do
      assert.equal(encoded, base64.encode(text))
      assert.equal(text, base64.decode(encoded))
    end
    for _, wrong in ipairs { "Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zg==Zg==", "Z-==",
        "Zg==\n", "Zm 9", "Zm=v" } do
      assert.is_nil(base64.decode(wrong), wrong)
    end
  end)
end)

describe("credentials", function()
  local environment

  before_each(function()
    environment = { HOME = directory .. "/home", XDG_RUNTIME_DIR = directory .. "/run" }
    process.check { "rm", "-rf", directory }
  end)

  teardown(function() process.check { "rm", "-rf", directory } end)

  local function find(text)
    return credentials.find(assert(reference.parse(text)), function(name)
      return environment[name]
    end)
  end

  local function user_of(text)
    local found, err = find(text)
    assert.is_nil(err)
    return found and found.username
  end

  it("as --registry-auth has them are read, and written again", function()
    local found = assert(credentials.decode "YWxpY2U6c2VjOnJldA==")
    assert.same({ username = "alice", password = "sec:ret" }, found)
    assert.equal("YWxpY2U6c2VjOnJldA==", credentials.encode(found))
    assert.same({ username = "alice", password = "" }, credentials.decode(base64.encode "alice:"))
  end)

  it("that are no base64 or have no colon are refused, and not repeated", function()
    for text, why in pairs {
      ["alice:secret"] = "is no base64", [""] = "has no colon",
      [base64.encode "secret"] = "has no colon between user name and password",
      [base64.encode "alice:se\ncret"] = "has control characters in it",
    } do
      local found, err = credentials.decode(text)
      assert.is_nil(found)
      assert.equal("EINVAL", err.code)
      assert.equal("the registry authentication " .. why, err.message:sub(1, 28 + #why))
      assert.is_nil(err.message:find("secret", 1, true))
      assert.matches("base64 prints it$", err.advice)
    end
  end)

  it("are nobody's without any file", function()
    assert.is_nil(user_of "quay.io/a/b")
    environment = {}
    assert.is_nil(user_of "quay.io/a/b")
  end)

  it("come from the first file that knows the registry", function()
    local places = {
      { "home/.docker/config.json", "docker" }, { "home/.config/containers/auth.json", "home" },
      { "run/containers/auth.json", "run" },
    }
    for _, place in ipairs(places) do
      write(place[1], auths { ["quay.io"] = place[2] })
      assert.equal(place[2], user_of "quay.io/a/b")
    end
    write("run/containers/auth.json", auths { ["other.io"] = "other" })
    assert.equal("home", user_of "quay.io/a/b")
    write("named.json", auths { ["quay.io"] = "named" })
    environment.REGISTRY_AUTH_FILE = directory .. "/named.json"
    assert.equal("named", user_of "quay.io/a/b")
    write("moved/config.json", auths { ["quay.io"] = "moved" })
    environment = { DOCKER_CONFIG = directory .. "/moved" }
    assert.equal("moved", user_of "quay.io/a/b")
  end)

  it("are those of the longest key that fits", function()
    write("run/containers/auth.json", auths { ["quay.io"] = "host", ["quay.io/a"] = "part",
      ["quay.io/a/b"] = "whole", ["quay.io/aa"] = "none", ["localhost:5000"] = "port",
      ["https://old.io"] = "old", ["https://index.docker.io/v1/"] = "hub" })
    for text, user in pairs {
      ["quay.io/a/b:1"] = "whole", ["quay.io/a/c"] = "part", ["quay.io/a/b/c"] = "whole",
      ["quay.io/x"] = "host", ["localhost:5000/x"] = "port", ["old.io/x"] = "old", x = "hub",
      ["docker.io/a/b"] = "hub",
    } do
      assert.equal(user, user_of(text), text)
    end
    assert.is_nil(user_of "localhost:5001/x")
    assert.is_nil(user_of "quay.io.evil.org/x")
  end)

  it("in a helper program or a token are not used, which is noted", function()
    for text, note in pairs {
      ['{"credsStore":"desktop"}'] = "leaves the password to docker-credential-desktop, which is",
      ['{"credHelpers":{"quay.io":"ecr"}}'] = "docker-credential-ecr",
      ['{"auths":{"quay.io":{"identitytoken":"t"}}}'] = "has an identity token, which is not used",
      ['{"auths":{"quay.io":{"email":"t"}}}'] = "has no password",
    } do
      write("home/.docker/config.json", text)
      local found, err, said = find "quay.io/a"
      assert.is_nil(found)
      assert.is_nil(err)
      assert.is_truthy(said:find(note, 1, true), said)
      assert.is_truthy(said:find("home/.docker/config.json", 1, true))
    end
    write("home/.docker/config.json", '{"auths":{"quay.io":{}},"credsStore":""}')
    assert.same({}, { find "quay.io/a" })
  end)

  it("of a damaged file, or of one that is named and not there, are an error", function()
    write("home/.docker/config.json", "{")
    local found, err = find "quay.io/a"
    assert.is_nil(found)
    assert.matches("cannot read the auth file .*config.json: malformed JSON", err.message)
    write("home/.docker/config.json", '{"auths":{"quay.io":{"auth":"!"}}}')
    found, err = find "quay.io/a"
    assert.is_nil(found)
    assert.matches("the entry quay.io of .*config.json is no base64", err.message)
    environment.REGISTRY_AUTH_FILE = directory .. "/none"
    found, err = find "quay.io/a"
    assert.is_nil(found)
    assert.matches("cannot read the auth file .*/none: No such file", err.message)
  end)
end)

describe("a challenge", function()
  local cases <const> = {
    ['Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"'] = {
      { scheme = "bearer", parameters = { realm = "https://a/t", service = "s",
        scope = "repository:a/b:pull,push" } } },
    ['bearer REALM = "x" , service=s'] = {
      { scheme = "bearer", parameters = { realm = "x", service = "s" } } },
    ['Basic realm="a \\"quoted\\\\ one"'] = {
      { scheme = "basic", parameters = { realm = 'a "quoted\\ one' } } },
    ["Negotiate"] = { { scheme = "negotiate", parameters = {} } },
    ['Negotiate abc==, Basic realm="x"'] = {
      { scheme = "negotiate", parameters = {} },
      { scheme = "basic", parameters = { realm = "x" } } },
    ['Digest a="1", b="2",Bearer realm="r", Basic'] = {
      { scheme = "digest", parameters = { a = "1", b = "2" } },
      { scheme = "bearer", parameters = { realm = "r" } }, { scheme = "basic", parameters = {} } },
    [', Basic realm="x",,'] = { { scheme = "basic", parameters = { realm = "x" } } },
  }
  for text, expected in pairs(cases) do
    it(("%s is read"):format(text), function()
      assert.same(expected, challenge.parse(text))
    end)
  end

  for _, text in ipairs { "", 'Bearer realm="x', 'Basic "x"', "Basic ;", "=" } do
    it(("%q is none"):format(text), function()
      assert.is_nil(challenge.parse(text))
    end)
  end

  it("is answered where it can be, by a token before a password", function()
    local basic, bearer = 'Basic realm="x"', 'Bearer realm="https://x"'
    assert.equal("bearer", challenge.choose { basic, bearer }.scheme)
    assert.equal("bearer", challenge.choose { basic .. ", " .. bearer }.scheme)
    assert.equal("basic", challenge.choose { "Negotiate", "Bearer", basic }.scheme)
    assert.is_nil(challenge.choose { "Negotiate", "nonsense here" })
    assert.is_nil(challenge.choose {})
  end)
end)
