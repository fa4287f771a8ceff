-- The registry client against Debian's docker-registry, and against what skopeo writes and reads.
local uv = require "luv"
local base64 = require "bpf.base64"
local bpf = require "bpf"
local core = require "bpf.core"
local files = require "spec.support.files"
local process = require "spec.support.process"
local http_server = require "spec.support.http_server"
local server = require "spec.support.registry"

local MANIFEST <const> = "application/vnd.oci.image.manifest.v1+json"
local LAYER <const> = "application/vnd.oci.image.layer.v1.tar"
local directory <const> = ("/tmp/bpfd-spec-%d-client"):format(uv.os_getpid())

local function digest_of(bytes) return "sha256:" .. core.system.sha256(bytes) end

local function open(host, repository, options)
  options.reference = assert(bpf.registry.parse(host .. "/" .. repository))
  return assert(bpf.registry.open(options))
end

local config <const> = '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers",'
  .. '"diff_ids":["%s"]},"config":{}}'

-- A whole image of one layer, whose media type says that nothing packs it.
local function push_image(session, tag, layer)
  local settings = config:format(digest_of(layer))
  assert(session:push_blob(digest_of(layer), #layer, { bytes = layer }))
  assert(session:push_blob(digest_of(settings), #settings, { bytes = settings }))
  local manifest = bpf.json.encode {
    schemaVersion = 2, mediaType = MANIFEST,
    config = { mediaType = "application/vnd.oci.image.config.v1+json",
      digest = digest_of(settings), size = #settings },
    layers = { { mediaType = LAYER, digest = digest_of(layer), size = #layer } },
  }
  return manifest, assert(session:push_manifest(tag, manifest, MANIFEST))
end

local function fails(value, err)
  assert.is_nil(value)
  return err
end

describe("the registry client", function()
  local plain, open_servers

  local function start(options)
    local started = server.start(options)
    open_servers[#open_servers + 1] = started
    return started
  end

  setup(function()
    assert(uv.fs_mkdir(directory, 448))
    open_servers = {}
    plain = start()
  end)

  teardown(function()
    for _, each in ipairs(open_servers) do each:close() end
    process.check { "rm", "-rf", directory }
  end)

  it("fetches what it has pushed, under its tag and its digest", function()
    local session <close> = open(plain.host, "pushed/by/us:1", { settings = plain.settings })
    local layer = ("layer"):rep(1000)
    local manifest, digest = push_image(session, "1", layer)
    assert.equal(digest_of(manifest), digest)
    local expected = { bytes = manifest, media_type = MANIFEST, digest = digest, size = #manifest }
    assert.same(expected, session:manifest())
    assert.same(expected, session:manifest(digest))
    assert.equal(layer, session:blob_bytes(digest_of(layer), #layer))
    assert.is_true(session:has_blob(digest_of(layer)))
    assert.is_false(session:has_blob(digest_of "nothing"))
  end)

  it("writes a blob into a file, reports how far it is, and checks its digest", function()
    local told = {}
    local session <close> = open(plain.host, "blobs:1", { settings = plain.settings,
      progress = function(done, total) told[#told + 1] = { done, total } end })
    local path, bytes = directory .. "/whole", ("0123456789"):rep(200000)
    assert(session:push_blob(digest_of(bytes), #bytes, { bytes = bytes }))
    assert.same({ #bytes, #bytes }, told[#told])
    told = {}
    assert(session:blob(digest_of(bytes), #bytes, path))
    assert.equal(bytes, files.read(path))
    assert.equal(tonumber("600", 8), core.system.facts(path).mode)
    assert.same({ #bytes, #bytes }, told[#told])
    assert.is_true(#told >= 2)
  end)

  it("asks only for what the file does not have yet", function()
    local session <close> = open(plain.host, "blobs:1", { settings = plain.settings })
    local path, bytes = directory .. "/rest", ("abcdefghij"):rep(50000)
    assert(session:push_blob(digest_of(bytes), #bytes, { bytes = bytes }))
    files.write(path, bytes:sub(1, 300001))
    local first
    session.progress = function(done) first = first or done end
    assert(session:blob(digest_of(bytes), #bytes, path))
    assert.equal(300001, first)
    assert.equal(bytes, files.read(path))
    session.progress = function() error "nothing is left to fetch" end
    assert(session:blob(digest_of(bytes), #bytes, path))
  end)

  it("starts anew where the beginning of the file is not the blob's", function()
    local session <close> = open(plain.host, "blobs:1", { settings = plain.settings })
    local path, bytes = directory .. "/other", ("klmnopqrst"):rep(5000)
    assert(session:push_blob(digest_of(bytes), #bytes, { bytes = bytes }))
    for _, begun in ipairs { "no", ("n"):rep(#bytes), ("n"):rep(#bytes + 1) } do
      files.write(path, begun)
      assert(session:blob(digest_of(bytes), #bytes, path))
      assert.equal(bytes, files.read(path))
    end
    files.write(path, "no")
    assert(session:blob(digest_of(bytes), #bytes, path, { offset = 0 }))
    assert.equal(bytes, files.read(path))
  end)

  it("pushes from files, and not what is there already", function()
    local session <close> = open(plain.host, "files:1", { settings = plain.settings })
    local path, bytes = directory .. "/source", ("file"):rep(100000)
    files.write(path, bytes)
    assert(session:push_blob(digest_of(bytes), #bytes, path))
    assert.equal(bytes, session:blob_bytes(digest_of(bytes), #bytes))
    session.progress = function() error "it is there" end
    assert(session:push_blob(digest_of(bytes), #bytes, "/does/not/exist"))
  end)

  it("says that a tag, a digest or a repository is not there", function()
    local session <close> = open(plain.host, "pushed/by/us:1", { settings = plain.settings })
    push_image(session, "1", "x")
    local err = fails(session:manifest "none")
    assert.equal("ENOENT", err.code)
    assert.equal(("fetching the manifest of %s/pushed/by/us:none: the registry answers 404 Not "
      .. "Found: manifest unknown"):format(plain.host), tostring(err))
    err = fails(session:manifest(digest_of "none"))
    assert.equal("ENOENT", err.code)
    assert.is_truthy(tostring(err):find(digest_of "none", 1, true))
    err = fails(session:blob_bytes(digest_of "none", 4))
    assert.equal("ENOENT", err.code)
    local other <close> = open(plain.host, "no/such:1", { settings = plain.settings })
    assert.equal("ENOENT", fails(other:manifest()).code)
  end)

  it("says that there is no such host, and nobody at that port", function()
    local session <close> = open("nosuch.invalid", "x:1", {})
    local err = fails(session:manifest())
    assert.equal("EHOSTUNREACH", err.code)
    assert.equal("fetching the manifest of nosuch.invalid/x:1: asking nosuch.invalid: "
      .. "Could not resolve host: nosuch.invalid", tostring(err))
    local host = "127.0.0.1:" .. server.free_port()
    local refused <close> = open(host, "x:1", {
      settings = { registries = { [host] = { plain_http = true } } } })
    err = fails(refused:manifest())
    assert.equal("ECONNREFUSED", err.code)
    assert.is_truthy(tostring(err):find(host .. "/x:1: asking " .. host .. ": Failed to connect",
      1, true))
  end)

  it("does not speak plain HTTP to a host that the configuration does not name", function()
    local session <close> = open(plain.host, "x:1", {})
    local err = fails(session:manifest())
    assert.equal("EPROTO", err.code)
    assert.is_truthy(err.advice:find(plain.host, 1, true))
    assert.is_truthy(err.advice:find("plain_http", 1, true))
  end)

  it("takes a password where the registry wants one", function()
    local guarded = start { users = { alice = "right:with colon" } }
    local function session_of(password)
      return open(guarded.host, "private/x:1", { settings = guarded.settings,
        credentials = password and { username = "alice", password = password } })
    end
    local session <close> = session_of "right:with colon"
    local manifest = push_image(session, "1", "secret")
    assert.equal(manifest, session:manifest().bytes)

    local wrong <close> = session_of "wrong"
    local err = fails(wrong:manifest())
    assert.equal("EACCES", err.code)
    assert.equal(("fetching the manifest of %s/private/x:1: the registry does not accept the "
      .. "password of user alice"):format(guarded.host), tostring(err))
    assert.is_nil(tostring(err):find "wrong")

    local nobody <close> = session_of(nil)
    err = fails(nobody:manifest())
    assert.equal("EACCES", err.code)
    assert.matches("wants a user name and a password$", err.message)
    assert.matches("registry%-auth", err.advice)
    assert.equal("EACCES", fails(nobody:push_blob(digest_of "x", 1, { bytes = "x" })).code)
  end)

  -- A JSON Web Token for one repository, as docker-registry wants it: ES256, with its certificate.
  local function token_for(repository, actions, certificates)
    local function part(text)
      return (base64.encode(text):gsub("+", "-"):gsub("/", "_"):gsub("=", ""))
    end
    local certificate = files.read(certificates .. "/ca.pem"):gsub("%-%-%-%-%-[^\n]*\n", "")
      :gsub("\n", "")
    local now = os.time()
    local signed = part(bpf.json.encode { typ = "JWT", alg = "ES256", x5c = { certificate } })
      .. "." .. part(bpf.json.encode {
        iss = "bpfd-spec", aud = "bpfd-spec", sub = "alice", jti = "1",
        iat = now, nbf = now - 60, exp = now + 600,
        access = { { type = "repository", name = repository, actions = actions } },
      })
    local der = assert(core.signature.sign(files.read(certificates .. "/ca.key"), signed))
    local function number(text) return ("\0"):rep(32 - #text) .. text:sub(-32) end
    local r, s = ("xxxs1xs1"):unpack(der) -- SEQUENCE { INTEGER, INTEGER }, each with its length
    return signed .. "." .. part(number(r) .. number(s))
  end

  it("gets a token where the registry names a token service", function()
    local certificates = directory .. "/token"
    assert(uv.fs_mkdir(certificates, 448))
    server.make_certificates(certificates)
    local service = http_server.start(([[return function(request)
      if request.headers.authorization ~= "Basic YWxpY2U6c2VjcmV0" then return { status = 401 } end
      return { body = '{"token":"%s"}' }
    end]]):format(token_for("tokens/x", { "pull", "push" }, certificates)))
    open_servers[#open_servers + 1] = service
    local guarded = start { token = { realm = service.url .. "/token",
      certificate = certificates .. "/ca.pem" } }
    local settings = { registries = { [guarded.host] = { plain_http = true },
      [service.host] = { plain_http = true } } }
    local function session_of(repository, password)
      return open(guarded.host, repository, { settings = settings,
        credentials = { username = "alice", password = password } })
    end
    local session <close> = session_of("tokens/x:1", "secret")
    local manifest = push_image(session, "1", "of tokens")
    assert.equal(manifest, session:manifest().bytes)
    local paths = {}
    for place, request in ipairs(service:requests()) do paths[place] = request.path end
    assert.same({
      "/token?service=bpfd-spec&scope=repository%3Atokens%2Fx%3Apull%2Cpush",
      "/token?service=bpfd-spec&scope=repository%3Atokens%2Fx%3Apull",
    }, paths)

    local wrong <close> = session_of("tokens/x:1", "wrong")
    local err = fails(wrong:manifest())
    assert.equal("EACCES", err.code)
    assert.matches("the token service 127.0.0.1 answers 401", err.message)
    local other <close> = session_of("other/x:1", "secret")
    err = fails(other:manifest())
    assert.equal("EACCES", err.code)
    assert.matches("the registry answers 401", err.message)
  end)

  it("trusts a registry whose certificate the configured CA has signed, and no other", function()
    local secure = start { tls = true }
    local session <close> = open(secure.host, "tls/x:1", { settings = secure.settings })
    local manifest = push_image(session, "1", ("tls"):rep(100000))
    assert.equal(manifest, session:manifest().bytes)

    local stranger <close> = open(secure.host, "tls/x:1", {})
    local err = fails(stranger:manifest())
    assert.equal("EPROTO", err.code)
    assert.matches("certificate", err.message)
    assert.is_truthy(err.advice:find("ca = ", 1, true))

    local other = directory .. "/other-ca"
    assert(uv.fs_mkdir(other, 448))
    server.make_certificates(other)
    local mistaken <close> = open(secure.host, "tls/x:1", {
      settings = { registries = { [secure.host] = { ca = other .. "/ca.pem" } } } })
    assert.matches("certificate", fails(mistaken:manifest()).message)

    local misnamed <close> = open("localhost:" .. secure.port, "tls/x:1", {
      settings = { registries = { ["localhost:" .. secure.port] = { ca = secure.ca } } } })
    assert.equal(manifest, misnamed:manifest().bytes)
    local lacking <close> = open(secure.host, "tls/x:1", {
      settings = { registries = { [secure.host] = { ca = directory .. "/none.pem" } } } })
    assert.is_truthy(fails(lacking:manifest()).message:find("none.pem", 1, true))
  end)

  it("says that there is no libcurl, whatever was to be done with it", function()
    local hidden = directory .. "/hidden"
    assert(uv.fs_mkdir(hidden, 448))
    for _, name in ipairs { "libcurl.so.4", "libcurl-gnutls.so.4" } do
      files.write(hidden .. "/" .. name, "no library")
    end
    local result = process.run({ "lua5.4", "-e", [[
      local transfer = require("bpf.core").transfer
      print(select(2, transfer.open()).message)
      print(select(2, transfer.resolve(nil, "https://example.net/")).message)
    ]] }, { env = { LD_LIBRARY_PATH = hidden } })
    assert.same({ 0, "", ("libcurl is not installed (libcurl.so.4)\n"):rep(2) },
      { result.exit, result.stderr, result.stdout })
  end)

  it("refuses option names that it does not know", function()
    local reference = bpf.registry.parse "x"
    assert.has_error(function() bpf.registry.open { reference = reference, setings = {} } end,
      "a session with a registry has no key setings; did you mean settings?")
    assert.has_error(function()
      bpf.registry.open { reference = reference, settings = { time_out = 1 } }
    end, "settings has no key time_out; did you mean timeout?")
  end)

  describe("and skopeo", function()
    local skopeo_policy = directory .. "/policy.json"

    local function skopeo(...)
      return process.check { "skopeo", "--policy", skopeo_policy, ... }
    end

    -- An image layout with one file in one layer, as umoci makes it.
    local function make_layout(name, content)
      local path = directory .. "/" .. name
      local image, bundle = path .. ":1", path .. "-bundle"
      process.check { "umoci", "init", "--layout", path }
      process.check { "umoci", "new", "--image", image }
      process.check { "umoci", "unpack", "--image", image, bundle }
      files.write(bundle .. "/rootfs/program.o", content)
      process.check { "umoci", "repack", "--image", image, bundle }
      return "oci:" .. image
    end

    setup(function()
      files.write(skopeo_policy, '{"default":[{"type":"insecureAcceptAnything"}]}')
    end)

    for _, format in ipairs { "oci", "v2s2" } do
      it(("read and write the same images, in the format %s"):format(format), function()
        local target = ("%s/skopeo/%s:1"):format(plain.host, format)
        skopeo("copy", "--dest-tls-verify=false", "--format", format,
          make_layout(format, ("program"):rep(1000)), "docker://" .. target)
        local raw = skopeo("inspect", "--raw", "--tls-verify=false", "docker://" .. target)
        local session <close> = open(plain.host, ("skopeo/%s:1"):format(format), {
          settings = plain.settings })
        local manifest = assert(session:manifest())
        assert.equal(raw, manifest.bytes)
        assert.equal(digest_of(raw), manifest.digest)
        local layer = bpf.json.decode(raw).layers[1]
        local path = directory .. "/layer-" .. format
        assert(session:blob(layer.digest, layer.size, path))
        assert.matches("program%.o", process.check { "tar", "tzf", path })
      end)
    end

    it("read back what we have pushed", function()
      local session <close> = open(plain.host, "ours:1", { settings = plain.settings })
      local layer = ("our layer"):rep(1000)
      local manifest = push_image(session, "1", layer)
      local copy = directory .. "/copy"
      skopeo("copy", "--src-tls-verify=false", "docker://" .. plain.host .. "/ours:1",
        "dir:" .. copy)
      assert.equal(manifest, files.read(copy .. "/manifest.json"))
      assert.equal(layer, files.read(copy .. "/" .. digest_of(layer):sub(8)))
    end)
  end)
end)
