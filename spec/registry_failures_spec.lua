-- What the registry client makes of servers that misbehave.
local uv = require "luv"
local bpf = require "bpf"
local core = require "bpf.core"
local files = require "spec.support.files"
local process = require "spec.support.process"
local http_server = require "spec.support.http_server"
local make_certificates = require("spec.support.registry").make_certificates

local directory <const> = ("/tmp/bpfd-spec-%d-failures"):format(uv.os_getpid())
local MANIFEST <const> = '{"schemaVersion":2,'
  .. '"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
local alice <const> = { username = "alice", password = "secret" }

local function digest_of(bytes) return "sha256:" .. core.system.sha256(bytes) end

local blob <const> = ("0123456789abcdef"):rep(8192)
local digest <const> = digest_of(blob)

-- What handlers begin with: the manifest, and the blob as servers should send it.
local prelude <const> = ([[
  local blob = ("0123456789abcdef"):rep(8192)
  local manifest = { body = '%s' }
  local function give(request)
    local from = tonumber((request.headers.range or ""):match "bytes=(%%d+)-")
    if not from then return { body = blob } end
    return { status = 206, body = blob:sub(from + 1),
      headers = { ["Content-Range"] = ("bytes %%d-%%d/%%d"):format(from, #blob - 1, #blob) } }
  end
]]):format(MANIFEST)

describe("the registry client, where a server misbehaves,", function()
  local servers, waits

  setup(function()
    assert(uv.fs_mkdir(directory, 448))
    make_certificates(directory)
    servers = {}
  end)

  before_each(function() waits = {} end)

  after_each(function()
    for _, each in ipairs(servers) do each:close() end
    servers = {}
  end)

  teardown(function() process.check { "rm", "-rf", directory } end)

  local function serve(source)
    local started = http_server.start(prelude .. source)
    servers[#servers + 1] = started
    return started
  end

  local function open(server, options)
    options = options or {}
    options.reference = options.reference or assert(bpf.registry.parse(server.host .. "/x:1"))
    options.settings = options.settings or server.settings
    options.wait = function(seconds) waits[#waits + 1] = seconds end
    return assert(bpf.registry.open(options))
  end

  local function fails(code, value, err)
    assert.is_nil(value)
    assert.equal(code, err.code, tostring(err))
    return tostring(err), err
  end

  local made = 0
  local function new_path()
    made = made + 1
    return directory .. "/" .. made
  end

  local function ranges(server)
    local list = {}
    for place, request in ipairs(server:requests()) do
      list[place] = request.headers.range or "all"
    end
    return list
  end

  -- A session that speaks TLS to a server, and to another at another name.
  local function open_secure(server, port, settings)
    settings["127.0.0.1:" .. port] = { ca = directory .. "/ca.pem" }
    return open(server, { reference = assert(bpf.registry.parse(("127.0.0.1:%d/x:1"):format(port))),
      settings = { registries = settings }, credentials = alice })
  end

  describe("asking who we are,", function()
    local token_service <const> = [[
      local realm = %s
      return function(request, count)
        if request.path:find "^/token" then return { body = %s } end
        if request.headers.authorization == "Bearer good" then return manifest end
        return { status = 401, headers = { ["WWW-Authenticate"] =
          'Bearer realm="' .. realm .. '/token?a=b",service="s p",scope="repository:other:pull"' } }
      end
    ]]

    local function with_token(answer, host)
      return serve(token_service:format("'http://' .. " .. (host or "(...)"), answer))
    end

    it("gets a token for what it wants to do and shows it", function()
      for _, field in ipairs { "token", "access_token" } do
        local server = with_token(("'{\"%s\":\"good\"}'"):format(field))
        local session <close> = open(server)
        assert.equal(MANIFEST, assert(session:manifest()).bytes)
        assert.equal(MANIFEST, assert(session:manifest()).bytes)
        local requests = server:requests()
        assert.equal(4, #requests)
        assert.equal("/token?a=b&service=s%20p&scope=repository%3Ax%3Apull", requests[2].path)
        assert.is_nil(requests[2].headers.authorization)
      end
    end)

    it("gives the token service the password, and the registry only the token", function()
      local server = with_token [['{"token":"good"}']]
      local session <close> = open(server, { credentials = alice })
      assert(session:manifest())
      local seen = {}
      for place, request in ipairs(server:requests()) do
        seen[place] = request.headers.authorization or "none"
      end
      assert.same({ "none", "Basic YWxpY2U6c2VjcmV0", "Bearer good" }, seen)
    end)

    it("does not go round in circles when its token is refused", function()
      local server = with_token [['{"token":"bad"}']]
      local session <close> = open(server)
      assert.matches("answers 401", fails("EACCES", session:manifest()))
      assert.equal(3, #server:requests())
    end)

    it("does not go round in circles when its password is refused", function()
      local server = serve [[return function()
        return { status = 401, headers = { ["WWW-Authenticate"] = 'Basic realm="x"' } }
      end]]
      local session <close> = open(server, { credentials = alice })
      assert.matches("does not accept the password of user alice$",
        fails("EACCES", session:manifest()))
      assert.equal(2, #server:requests())
    end)

    it("refuses what is no token", function()
      for _, answer in ipairs { "'{}'", "'[]'", "'x'", [['{"token":1}']], [['{"token":""}']],
          [['{"token":"a\\r\\nX-Evil: 1"}']] } do
        local server = with_token(answer)
        local session <close> = open(server)
        assert.matches("the token service sends no token$", fails("EBADMSG", session:manifest()))
      end
    end)

    it("keeps the password from another host that a plain registry names", function()
      local server = with_token([['{"token":"good"}']], "'localhost:9'")
      local session <close> = open(server, { credentials = alice, settings = { registries = {
        [server.host] = { plain_http = true }, ["localhost:9"] = { plain_http = true } } } })
      assert.matches("sends the password to another host, localhost; it stays here",
        fails("EACCES", session:manifest()))
    end)

    it("asks no token service by plain HTTP that the configuration does not name", function()
      local server = with_token([['{"token":"good"}']], "'localhost:9'")
      local session <close> = open(server)
      assert.matches("localhost:9 is to be asked by plain HTTP, which the configuration does not",
        fails("EPROTONOSUPPORT", session:manifest()))
    end)

    it("gives the password to a token service on another host, by TLS only", function()
      local service = serve [[return function(request)
        local is_alice = request.headers.authorization == "Basic YWxpY2U6c2VjcmV0"
        return is_alice and { body = '{"token":"good"}' } or { status = 401 }
      end]]
      local secure_port = service:add_tls(directory)
      local function ask(realm)
        local server = serve(token_service:format(realm, "nil"))
        local session = open_secure(server, server:add_tls(directory),
          { ["localhost:" .. secure_port] = { ca = directory .. "/ca.pem" } })
        return server, session
      end
      local server, session = ask(("'https://localhost:%d'"):format(secure_port))
      assert.equal(MANIFEST, assert(session:manifest()).bytes)
      session:close()
      local shown = {}
      for place, request in ipairs(server:requests()) do
        shown[place] = request.headers.authorization or "nothing"
      end
      assert.same({ "nothing", "Bearer good" }, shown)
      assert.equal(1, #service:requests())

      server, session = ask(("'http://localhost:%d'"):format(service.port))
      assert.matches("localhost:%d+ is to be asked by plain HTTP",
        fails("EPROTONOSUPPORT", session:manifest()))
      session:close()
      assert.equal(1, #server:requests())
      assert.equal(1, #service:requests())
    end)

    it("takes no token service that is not of the web", function()
      local server = serve(token_service:format("'file://'", "nil"))
      local session <close> = open(server, { credentials = alice })
      assert.matches("file:///token.* is no address that is followed",
        fails("EPROTONOSUPPORT", session:manifest()))
    end)

    it("takes no challenge from where a redirect has led", function()
      local other = serve [[return function()
        return { status = 401, headers = { ["WWW-Authenticate"] = 'Basic realm="x"' } }
      end]]
      local server = serve(([[return function()
        return { status = 307, headers = { Location = "http://%s/manifest" } }
      end]]):format(other.host))
      local session <close> = open(server, { credentials = alice, settings = { registries = {
        [server.host] = { plain_http = true }, [other.host] = { plain_http = true } } } })
      fails("EACCES", session:manifest())
      assert.equal(1, #other:requests())
      assert.is_nil(other:requests()[1].headers.authorization)
    end)

    it("says what the registry has to say about it", function()
      local server = serve [[return function()
        return { status = 403, body = '{"errors":[{"code":"DENIED","message":"not\\u001byours"}]}' }
      end]]
      local session <close> = open(server)
      assert.matches("answers 403 Whatever: not yours$", fails("EACCES", session:manifest()))
    end)
  end)

  describe("leading elsewhere,", function()
    local function redirect_to(url)
      return serve(([[return function(request)
        if not request.headers.authorization and request.path:find "^/v2" then
          return { status = 401, headers = { ["WWW-Authenticate"] = 'Basic realm="x"' } }
        end
        return { status = 307, headers = { Location = "%s" } }
      end]]):format(url))
    end

    local function both(...)
      local registries = {}
      for _, server in ipairs { ... } do registries[server.host] = { plain_http = true } end
      return { registries = registries }
    end

    it("does not take the password along to another host", function()
      local other = serve "return give"
      local server = redirect_to(other.url .. "/elsewhere")
      local session <close> = open(server, { credentials = alice, settings = both(server, other) })
      local path = new_path()
      assert(session:blob(digest, #blob, path))
      assert.equal(blob, files.read(path))
      assert.is_truthy(server:requests()[2].headers.authorization)
      assert.same({ "/elsewhere" }, { other:requests()[1].path, other:requests()[2] })
      assert.is_nil(other:requests()[1].headers.authorization)
    end)

    it("nor to another port, nor back home again", function()
      local other = serve [[return function(request)
        return { status = 302, headers = { Location = "http://" .. request.path:sub(2) } }
      end]]
      local server = redirect_to(other.url .. "/")
      local home = serve(([[return function(request)
        if request.path == "/home" then return give(request) end
        if not request.headers.authorization then
          return { status = 401, headers = { ["WWW-Authenticate"] = 'Basic realm="x"' } }
        end
        return { status = 302, headers = { Location = "%s/" .. request.headers.host .. "/home" } }
      end]]):format(other.url))
      local session <close> = open(home, { credentials = alice,
        settings = both(server, other, home) })
      assert(session:blob(digest, #blob, new_path()))
      local last = home:requests()[3]
      assert.equal("/home", last.path)
      assert.is_nil(last.headers.authorization)
    end)

    it("is not followed to plain HTTP that is not configured, nor to other protocols", function()
      local other = serve "return give"
      for _, url in ipairs { other.url .. "/x", "file:///etc/passwd", "ftp://127.0.0.1/x",
          "gopher://127.0.0.1/x" } do
        local server = redirect_to(url)
        local session <close> = open(server, { credentials = alice })
        local path = new_path()
        assert.matches("following a redirect of", fails("EPROTONOSUPPORT",
          session:blob(digest, #blob, path)))
        assert.equal("", files.read(path))
      end
      assert.same({}, other:requests())
    end)

    it("from TLS to plain HTTP is followed only where configured, without password", function()
      local other = serve "return give"
      local server = serve(([[return function(request)
        if request.headers.authorization then
          return { status = 307, headers = { Location = "%s/elsewhere" } }
        end
        return { status = 401, headers = { ["WWW-Authenticate"] = 'Basic realm="x"' } }
      end]]):format(other.url))
      local port = server:add_tls(directory)
      local session <close> = open_secure(server, port, {})
      assert.matches("127.0.0.1:%d+ is to be asked by plain HTTP",
        fails("EPROTONOSUPPORT", session:blob(digest, #blob, new_path())))
      assert.same({}, other:requests())
      local trusting <close> = open_secure(server, port, { [other.host] = { plain_http = true } })
      assert(trusting:blob(digest, #blob, new_path()))
      assert.equal(1, #other:requests())
      assert.is_nil(other:requests()[1].headers.authorization)
    end)

    it("for ever is given up", function()
      local server = serve [[return function()
        return { status = 302, headers = { Location = "/again" } }
      end]]
      local session <close> = open(server)
      assert.matches("from redirect to redirect", fails("ELOOP", session:manifest()))
      assert.equal(6, #server:requests())
    end)

    it("for an upload gets the blob without the password", function()
      local other = serve "return function() return { status = 201 } end"
      local server = serve(([[return function(request)
        if not request.headers.authorization then
          return { status = 401, headers = { ["WWW-Authenticate"] = 'Basic realm="x"' } }
        end
        if request.method == "HEAD" then return { status = 404 } end
        return { status = 202, headers = { Location = "%s/up?state=1" } }
      end]]):format(other.url))
      local session <close> = open(server, { credentials = alice, settings = both(server, other) })
      assert(session:push_blob(digest, #blob, { bytes = blob }))
      local put = other:requests()[1]
      assert.equal("/up?state=1&digest=" .. digest:gsub(":", "%%3A"), put.path)
      assert.equal(#blob, put.size)
      assert.is_nil(put.headers.authorization)
    end)
  end)

  describe("being busy or broken,", function()
    it("is left alone for as long as it asks", function()
      for _, status in ipairs { 429, 503 } do
        waits = {}
        local server = serve(([[return function(_, count)
          if count < 3 then return { status = %d, headers = { ["Retry-After"] = "3" } } end
          return manifest
        end]]):format(status))
        local session <close> = open(server)
        assert(session:manifest())
        assert.same({ 3, 3 }, waits)
      end
    end)

    it("may name a date", function()
      local server = serve [[return function(_, count)
        local later = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 6)
        if count == 1 then return { status = 429, headers = { ["Retry-After"] = later } } end
        return manifest
      end]]
      local session <close> = open(server)
      assert(session:manifest())
      assert.equal(1, #waits)
      assert.is_true(waits[1] >= 3 and waits[1] <= 6)
    end)

    it("is not waited for too long, nor too often", function()
      local server = serve [[return function(request)
        local seconds = request.path:find "often" and "1" or "3600"
        return { status = 429, headers = { ["Retry-After"] = seconds } }
      end]]
      local session <close> = open(server)
      assert.matches("answers 429 Whatever; it asks to wait for 3600 seconds$",
        fails("EAGAIN", session:manifest()))
      assert.same({}, waits)
      fails("EAGAIN", session:manifest "often")
      assert.same({ 1, 1, 1 }, waits)
    end)

    it("is asked again a few times after a 500", function()
      local server = serve [[return function(request, count)
        return request.path:find "well" and count == 3 and manifest or { status = 500 }
      end]]
      local session <close> = open(server)
      assert(session:manifest "well")
      assert.same({ 0.2, 0.4 }, waits)
      assert.matches("answers 500 Whatever$", fails("EPROTO", session:manifest "never"))
      assert.same({ 0.2, 0.4, 0.2, 0.4, 0.8 }, waits)
    end)

    it("ends the connection without an answer", function()
      local server = serve "return function() return { hang_up = true } end"
      local session <close> = open(server)
      assert.matches("asking " .. server.host:gsub("%.", "%%."),
        fails("ECONNRESET", session:manifest()))
    end)

    it("stops in the middle and says no more, which is noticed", function()
      local server = serve [[return function(request, count)
        local answer = give(request)
        if count < 2 then answer.truncate, answer.stall = 70000, true end
        return answer
      end]]
      local session <close> = open(server, { settings = {
        registries = server.settings.registries, timeout = 0.5 } })
      local path = new_path()
      assert.matches("nothing came for 0.5 seconds$",
        fails("ETIMEDOUT", session:blob(digest, #blob, path)))
      assert.equal(blob:sub(1, 70000), files.read(path))
      assert(session:blob(digest, #blob, path))
      assert.equal(blob, files.read(path))
      assert.same({ "all", "bytes=70000-" }, ranges(server))
    end)

    it("can be left at once by whoever does not want to wait", function()
      local server = serve "return function() return { stall = true, truncate = 0, body = '1' } end"
      local session <close> = open(server, { cancelled = function() return true end })
      assert.matches("cancelled$", fails("ECANCELED", session:manifest()))
    end)
  end)

  describe("sending a blob,", function()
    it("breaks off, and the rest is asked for", function()
      local server = serve [[return function(request, count)
        local answer = give(request)
        if count < 4 then answer.truncate = 10000 end
        return answer
      end]]
      local session <close> = open(server)
      local path = new_path()
      assert(session:blob(digest, #blob, path))
      assert.equal(blob, files.read(path))
      assert.same({ "all", "bytes=10000-", "bytes=20000-", "bytes=30000-" }, ranges(server))
    end)

    it("breaks off and knows no ranges", function()
      local server = serve [[return function(_, count)
        return { body = blob, truncate = count < 2 and 10000 or nil }
      end]]
      local session <close> = open(server)
      local path = new_path()
      assert(session:blob(digest, #blob, path))
      assert.equal(blob, files.read(path))
    end)

    it("breaks off again and again", function()
      local server = serve "return function() return { body = blob, truncate = 100 } end"
      local session <close> = open(server)
      local path = new_path()
      fails("ECONNRESET", session:blob(digest, #blob, path))
      assert.equal(6, #server:requests())
      assert.equal(blob:sub(1, 100), files.read(path))
    end)

    it("ends too early as if that were all", function()
      local server = serve "return function() return { body = blob:sub(1, 100) } end"
      local session <close> = open(server)
      assert.matches(("only 100 of its %d bytes came$"):format(#blob),
        fails("ECONNRESET", session:blob(digest, #blob, new_path())))
    end)

    it("sends another one, of which nothing stays", function()
      local server = serve "return function() return { body = blob:upper() } end"
      local session <close> = open(server)
      local path = new_path()
      local message = fails("EBADMSG", session:blob(digest, #blob, path))
      assert.is_truthy(message:find(("fetching blob %s of %s/x:1: what came has the digest %s")
        :format(digest, server.host, digest_of(blob:upper())), 1, true), message)
      assert.equal("", files.read(path))
      assert.equal(1, #server:requests())
      fails("EBADMSG", session:blob_bytes(digest, #blob))
    end)

    it("gets a second chance where the file was wrong before", function()
      local server = serve "return give"
      local session <close> = open(server)
      local path = new_path()
      files.write(path, "something else")
      assert(session:blob(digest, #blob, path))
      assert.same({ "bytes=14-", "all" }, ranges(server))
    end)

    it("does not end it", function()
      local server = serve "return function() return { body = blob, endless = true } end"
      local session <close> = open(server)
      local path = new_path()
      assert.matches("more than the %d+ bytes that are allowed$",
        fails("EFBIG", session:blob(digest, #blob, path)))
      assert.is_true(#files.read(path) <= #blob)
      fails("EFBIG", session:blob_bytes(digest, #blob))
      fails("EFBIG", session:manifest())
    end)

    it("does not end an error either", function()
      local server = serve [[return function()
        return { status = 404, body = blob, endless = true }
      end]]
      local session <close> = open(server)
      fails("ENOENT", session:blob(digest, #blob, new_path()))
      fails("ENOENT", session:manifest())
    end)

    it("says that the range is none, and it starts anew", function()
      local server = serve [[return function(request)
        return request.headers.range and { status = 416 } or { body = blob }
      end]]
      local session <close> = open(server)
      local path = new_path()
      files.write(path, "x")
      assert(session:blob(digest, #blob, path))
      assert.equal(blob, files.read(path))
    end)

    it("loses its client to SIGKILL, and the next one goes on from there", function()
      local server = serve [[return function(request, count)
        local answer = give(request)
        if count < 2 then answer.truncate, answer.stall = 50000, true end
        return answer
      end]]
      local path = new_path()
      local child = process.start({ "lua5.4", "-e", ([[
        local bpf = require "bpf"
        local session = bpf.registry.open { reference = bpf.registry.parse "%s/x:1",
          settings = { registries = { ["%s"] = { plain_http = true } } } }
        session:blob("%s", %d, "%s")
      ]]):format(server.host, server.host, digest, #blob, path) })
      assert(process.eventually(function()
        local facts = core.system.facts(path)
        return facts and facts.size == 50000
      end))
      child:signal "sigkill"
      child:wait()
      local session <close> = open(server)
      assert(session:blob(digest, #blob, path))
      assert.equal(blob, files.read(path))
      assert.same({ "all", "bytes=50000-" }, ranges(server))
    end)

    it("is not asked for one whose digest or size is none", function()
      local server = serve "return give"
      local session <close> = open(server)
      for _, each in ipairs { "../../x", "sha256:../x", digest .. "/x", digest:upper(), 1 } do
        fails("EBADMSG", session:blob(each, #blob, new_path()))
        fails("EBADMSG", session:blob_bytes(each, #blob))
        fails("EBADMSG", session:has_blob(each))
        fails("EBADMSG", session:push_blob(each, #blob, { bytes = blob }))
      end
      for _, size in ipairs { -1, 1.5, "1" } do
        fails("EBADMSG", session:blob(digest, size, new_path()))
        fails("EBADMSG", session:blob_bytes(digest, size))
      end
      assert.same({}, server:requests())
    end)

    it("meets an error in its progress, which comes through and harms nothing", function()
      local server = serve "return give"
      local session <close> = open(server, { progress = function() error "of the caller" end })
      assert.has_error(function() session:blob(digest, #blob, new_path()) end)
      session.progress = nil
      assert(session:blob(digest, #blob, new_path()))
    end)
  end)

  describe("sending a manifest,", function()
    local function answers(answer)
      local server = serve(("return function() return %s end"):format(answer))
      return open(server)
    end

    it("of ten megabytes is refused", function()
      local session <close> = answers [[{ body = "{" .. (" "):rep(10000000) .. "}" }]]
      assert.matches("more than the 4194304 bytes", fails("EFBIG", session:manifest()))
    end)

    it("with another digest than it was asked for, or than it tells, is refused", function()
      local session <close> = answers "manifest"
      assert.matches("what came has the digest sha256:%x+, not " .. digest,
        fails("EBADMSG", session:manifest(digest)))
      assert.equal(MANIFEST, session:manifest(digest_of(MANIFEST)).bytes)
      local liar <close> = answers(("{ body = manifest.body, headers = "
        .. "{ ['Docker-Content-Digest'] = '%s' } }"):format(digest))
      fails("EBADMSG", liar:manifest())
    end)

    it("of Docker's first schema is refused in clear words", function()
      for _, answer in ipairs { [[{ body = '{"schemaVersion":1}' }]],
          [[{ body = '{}', headers = { ["Content-Type"] =
            "application/vnd.docker.distribution.manifest.v1+prettyjws" } }]] } do
        local session <close> = answers(answer)
        local message, err = fails("ENOTSUP", session:manifest())
        assert.matches("Docker's schema 1, which is not read$", message)
        assert.matches("skopeo copy", err.advice)
      end
    end)

    it("that is none is refused", function()
      for answer, why in pairs {
        [ [[{ body = "<html>" }]] ] = "no JSON object", [ [[{ body = "1" }]] ] = "no JSON object",
        [ [[{ body = "" }]] ] = "no JSON object",
      } do
        local session <close> = answers(answer)
        assert.is_truthy(fails("EBADMSG", session:manifest()):find(why, 1, true))
      end
      local session <close> = answers [[{ body = '{"mediaType":"text/x"}' }]]
      assert.matches("has the media type 'text/x', which is not read$",
        fails("ENOTSUP", session:manifest()))
    end)

    it("without a media type is what the registry says", function()
      local session <close> = answers [[{ body = "{}", headers = { ["Content-Type"] =
        "application/vnd.oci.image.index.v1+json; charset=utf-8" } }]]
      assert.equal("application/vnd.oci.image.index.v1+json", session:manifest().media_type)
    end)
  end)
end)
