-- Signatures of images: keys, rules, and what skopeo makes of ours and we of skopeo's.
local uv = require "luv"
local bpf = require "bpf"
local core = require "bpf.core"
local key = require "bpf.image.key"
local signature = require "bpf.image.signature"
local signing = require "bpf.image.signing"
local platform = require "bpf.registry.platform"
local process = require "spec.support.process"
local server = require "spec.support.registry"

local MANIFEST <const> = "application/vnd.oci.image.manifest.v1+json"
local CONFIG <const> = '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers",'
  .. '"diff_ids":[]},"config":{}}'
local directory <const> = ("/tmp/bpfd-spec-%d-signature"):format(uv.os_getpid())

local function digest_of(bytes) return "sha256:" .. core.system.sha256(bytes) end

local function write(name, bytes)
  local file <close> = assert(io.open(directory .. "/" .. name, "wb"))
  file:write(bytes)
  return directory .. "/" .. name
end

local function bytes_of(hexadecimal)
  return (hexadecimal:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

describe("signatures", function()
  local registry, pair, opened

  setup(function()
    assert(uv.fs_mkdir(directory, 448))
    registry = server.start()
    pair = assert(key.generate "secret")
    opened = assert(key.private(pair.private, "secret"))
    write("passphrase", "secret\n")
    write("pair.key", pair.private)
    write("pair.pub", pair.public)
  end)

  teardown(function()
    registry:close()
    process.check { "rm", "-rf", directory }
  end)

  local function open(name)
    local reference = assert(bpf.registry.parse(registry.host .. "/" .. name))
    return assert(bpf.registry.open { reference = reference, settings = registry.settings })
  end

  -- An image of one layer; its digest.
  local function push(session)
    local layer = "layer of " .. session.reference:text()
    assert(session:push_blob(digest_of(layer), #layer, { bytes = layer }))
    assert(session:push_blob(digest_of(CONFIG), #CONFIG, { bytes = CONFIG }))
    return assert(session:push_manifest(session.reference.tag, bpf.json.encode {
      schemaVersion = 2, mediaType = MANIFEST,
      config = { mediaType = "application/vnd.oci.image.config.v1+json",
        digest = digest_of(CONFIG), size = #CONFIG },
      layers = { { mediaType = "application/vnd.oci.image.layer.v1.tar",
        digest = digest_of(layer), size = #layer } },
    }, MANIFEST))
  end

  local function sign(session, private)
    return assert(signing.sign(session, private or opened))
  end

  -- Without the passphrase, whose way to a key takes a tenth of a second.
  local function new_pair()
    local private, public = assert(core.signature.generate())
    return { private = private, public = public }
  end

  local function verify(session, digests, public)
    return signature.verify { reference = session.reference, digests = digests,
      signatures = assert(signature.fetch(session, digests)), key = public or pair.public }
  end

  describe("keys", function()
    it("are opened by their passphrase alone", function()
      local private = assert(key.private(pair.private, "secret"))
      assert.equal(pair.public, core.signature.public(private))
      local none, err = key.private(pair.private, "wrong")
      assert.is_nil(none)
      assert.equal("EACCES", err.code)
      assert.equal("the passphrase does not open the private key", err.message)
      none, err = key.private(pair.private, nil)
      assert.is_nil(none)
      assert.matches("has a passphrase", err.message)
    end)

    it("may be OpenSSL's, in both its forms without a passphrase", function()
      local sec1 = process.check { "openssl", "ecparam", "-name", "prime256v1", "-genkey",
        "-noout" }
      local pkcs8 = process.check({ "openssl", "pkcs8", "-topk8", "-nocrypt" }, { stdin = sec1 })
      local public = process.check({ "openssl", "pkey", "-pubout" }, { stdin = pkcs8 })
      for _, text in ipairs { sec1, pkcs8 } do
        assert.equal(public, core.signature.public(assert(key.private(text))))
      end
    end)

    it("of other kinds and damaged ones are refused", function()
      local function openssl(stdin, ...)
        return process.check({ "openssl", ... }, { stdin = stdin })
      end
      local other = openssl(nil, "ecparam", "-name", "secp384r1", "-genkey", "-noout")
      local rsa = openssl(nil, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
      local locked = openssl(other, "pkcs8", "-topk8", "-passout", "pass:x")
      for text, why in pairs {
        [other] = "of the kind", [rsa] = "of the kind", [locked] = "OpenSSL's way",
        ["none"] = "there is no private key",
        ["-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] = "cannot be read",
        [pair.private:gsub("\n.-\n", "\neyJ9\n", 1)] = "is damaged",
      } do
        local none, err = key.private(text, "x")
        assert.is_nil(none)
        assert.is_truthy(err.message:find(why, 1, true), err.message)
      end
      for text, why in pairs {
        [openssl(rsa, "pkey", "-pubout")] = "of the kind", [pair.private] = "among the public keys",
        [""] = "no public key",
        ["-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] = "cannot be read",
      } do
        local none, err = key.public(text)
        assert.is_nil(none)
        assert.is_truthy(err.message:find(why, 1, true), err.message)
      end
    end)

    it("are kept in boxes as NaCl makes them", function()
      local secret = bytes_of "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389"
      local nonce = bytes_of "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"
      local plain = bytes_of("be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc"
        .. "e5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dcee"
        .. "a3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089"
        .. "bc76897040e082f937763848645e0705")
      local box = bytes_of("f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce483"
        .. "32ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6f"
        .. "b863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61c"
        .. "a01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5")
      assert.equal(box, core.signature.seal_box(secret, nonce, plain))
      assert.equal(plain, core.signature.open_box(secret, nonce, box))
      for place = 1, #box, 16 do
        local changed = box:sub(1, place - 1) .. string.char(box:byte(place) ~ 1)
          .. box:sub(place + 1)
        assert.is_false(core.signature.open_box(secret, nonce, changed))
      end
      assert.is_false(core.signature.open_box(secret, nonce, ""))
    end)
  end)

  it("of ours verify with their key, beside those of others", function()
    local session <close> = open "ours:1"
    local digest = push(session)
    local second = new_pair()
    local _, err = verify(session, { digest })
    assert.equal("ENOKEY", err.code)
    assert.equal("the image is not signed", err.message)
    sign(session, second.private)
    _, err = verify(session, { digest })
    assert.equal("EKEYREJECTED", err.code)
    assert.equal("no signature of the image is good: it is by another key", err.message)
    sign(session)
    assert.is_true(verify(session, { digest }))
    assert.is_true(verify(session, { digest }, second.public))
    assert.is_true(verify(session, { digest_of "an index", digest }))
    assert.is_true(verify(session, { digest },
      new_pair().public .. pair.public))
  end)

  it("are good for their own digest and repository only", function()
    local session <close> = open "mine:1"
    local other <close> = open "other:1"
    local digest, other_digest = push(session), push(other)
    sign(session)
    local found = assert(signature.fetch(session, { digest }))
    local function why(reference, digests)
      local good, err = signature.verify { reference = reference, digests = digests,
        signatures = found, key = pair.public }
      assert.is_nil(good)
      return err.message
    end
    assert.matches("it is of another digest$", why(session.reference, { other_digest }))
    assert.matches("it is of another repository, .*/mine:1$", why(other.reference, { digest }))
    assert.is_true(signature.verify { reference = session.reference:at "2", digests = { digest },
      signatures = found, key = pair.public })
  end)

  it("of an index are also of all that it names", function()
    local session <close> = open "several:1"
    local one, two = push(open "several:one"), push(open "several:two")
    local function entry(digest, architecture)
      return { mediaType = MANIFEST, digest = digest, size = session:manifest(digest).size,
        platform = { os = "linux", architecture = architecture } }
    end
    local index = "application/vnd.oci.image.index.v1+json"
    local digest = assert(session:push_manifest("1", bpf.json.encode { schemaVersion = 2,
      mediaType = index, manifests = { entry(one, "amd64"), entry(two, "arm64") } }, index))
    local signed = sign(session)
    assert.same({ digest, one, two }, signed.signed)
    for _, each in ipairs(signed.signed) do assert.is_true(verify(session, { each })) end
  end)

  describe("rules", function()
    local function rules(...) return signature.rules { ... } end
    local required <const> = "required"

    local function decide(list, name, signatures)
      local reference = assert(bpf.registry.parse(name))
      return list:decide(reference, { digest_of "image" }, signatures or {})
    end

    it("are tried in order, and the first that matches decides", function()
      local public = directory .. "/pair.pub"
      local list = assert(rules(
        { match = "quay.io/acme/free", require = "off", key = public },
        { match = "quay.io/acme/*", require = required, key = public },
        { match = "*/any-*.x", require = "optional", key = public },
        { match = "docker.io/library/*", require = "optional" }))
      for name, expected in pairs {
        ["quay.io/acme/free:1"] = "off", ["quay.io/acme/free/er"] = "refused",
        ["quay.io/acme/a/b"] = "refused", ["quay.io/acmes/a"] = "off",
        ["other.io/any-thing.x"] = "unsigned", ["other.io/any-thingxx"] = "off", x = "off",
      } do
        local decision, err = decide(list, name)
        assert.equal(expected, decision and decision.decision or "refused", name)
        assert.is_truthy(decision and decision.reason or err.advice)
      end
      assert.is_true(list:wants(bpf.registry.parse "quay.io/acme/a"))
      assert.is_false(list:wants(bpf.registry.parse "quay.io/acme/free"))
      assert.is_false(list:wants(bpf.registry.parse "x"))
    end)

    it("tell the key that has signed, and why an image is refused", function()
      local session <close> = open "ruled:1"
      local digest = push(session)
      local public = directory .. "/pair.pub"
      local list = assert(rules { match = registry.host .. "/*", require = required,
        key = public })
      local _, err = list:decide(session.reference, { digest }, {})
      assert.equal("ENOKEY", err.code)
      assert.equal(("the rule for %s/* requires a signature by %s"):format(registry.host, public),
        err.advice)
      sign(session)
      local found = assert(signature.fetch(session, { digest }))
      local decision = assert(list:decide(session.reference, { digest }, found))
      assert.equal("signed", decision.decision)
      assert.equal(public, decision.signed_by)
    end)

    it("that cannot hold are refused", function()
      for match, why in pairs {
        ["quay.io/acme/x:1"] = "names a tag or a digest", ["quay.io/x@sha256:12"] = "names a tag",
      } do
        local list, err = rules { match = match, require = "optional" }
        assert.is_nil(list)
        assert.is_truthy(err.message:find(why, 1, true))
      end
      assert.is_truthy(rules { match = "127.0.0.1:5000/*", require = "off" })
      local list, err = rules { match = "*", require = required }
      assert.is_nil(list)
      assert.matches("requires signatures but names no key$", err.message)
      list, err = rules { match = "*", require = required, key = directory .. "/none" }
      assert.is_nil(list)
      assert.matches("cannot read the key .*/none: No such file", err.message)
      list, err = rules { match = "*", require = required, key = directory .. "/pair.key" }
      assert.is_nil(list)
      assert.matches("^reading the key .*/pair.key: among the public keys stands: encrypted",
        tostring(err))
    end)
  end)

  it("that were tampered with are as good as none", function()
    local session <close> = open "tampered:1"
    local digest = push(session)
    sign(session)
    local found = assert(signature.fetch(session, { digest }))[1]
    local each = found.list[1]
    local function refused(payload, signed)
      local _, err = signature.verify { reference = session.reference, digests = { digest },
        signatures = { { list = { { payload = payload, signature = signed } } } },
        key = pair.public }
      assert.equal("EKEYREJECTED", err and err.code)
    end
    refused(each.payload .. " ", each.signature)
    refused(each.payload, each.signature .. "\0")
    refused(each.payload, "")
    refused("", each.signature)
    for _, payload in ipairs { "", "[]", '{"critical":{}}', '{"critical":{"identity":1}}' } do
      refused(payload, assert(core.signature.sign(opened, payload)))
    end
    assert.is_nil((signature.read({ bytes = "{" }, {})))
    local read = assert(signature.read({ bytes = '{"layers":[1,{},{"mediaType":1}]}' }, {}))
    assert.same({}, read.list)
  end)

  it("are read again from what was stored of them", function()
    local session <close> = open "stored:1"
    local digest = push(session)
    sign(session)
    local found = assert(signature.fetch(session, { digest }))[1]
    local again = assert(signature.read(found.manifest, found.payloads))
    assert.same(found.list, again.list)
    assert.is_true(signature.verify { reference = session.reference, digests = { digest },
      signatures = { again }, key = pair.public })
    assert.same({}, assert(signature.read(found.manifest, {})).list)
  end)

  -- Made by containers/image 5.23, the library under skopeo 1.9, and noted here because Debian's
  -- build of skopeo cannot make one.
  it("of containers/image verify", function()
    local payload = '{"critical":{"identity":{"docker-reference":"127.0.0.1:43217/acme/guard:signed'
      .. '"},"image":{"docker-manifest-digest":"sha256:a343b7b37be0bd3485bbb28c399bac024597cc6ef65'
      .. '08758908a3eae7daff99b"},"type":"cosign container image signature"},"optional":{"creator":'
      .. '"containers/image 5.23.1","timestamp":1795556760}}'
    local manifest = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
      .. '"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:11819d7'
      .. 'dad0886448024552cda1780b00370219c742779d751a7c0ea069e43d8","size":153},"layers":[{"mediaT'
      .. 'ype":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"sha256:64e1edabdf26e731'
      .. '7a1650b818bd52b8fde1052227fe7a6645b650aedbf2f944","size":305,"annotations":{"dev.cosignpr'
      .. 'oject.cosign/signature":"MEUCIBhGECP+F2Ou3iaWjIGEghaYUzegwyPXACFldLcD2gQTAiEAlhYSYQefosj+'
      .. 'yiGTJHTnj6UGf/xUREW1Uvamj6kVWX8="}}]}'
    local public = "-----BEGIN PUBLIC KEY-----\n"
      .. "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJvPXloQ48b4fVEJNoC9V4Qs1DJjw\n"
      .. "/evEqatNU2l42blNyVYUEPkBHgZkYfyayuueSYJnhtpv3s8RnN96ARkxcw==\n"
      .. "-----END PUBLIC KEY-----\n"
    local digest = "sha256:a343b7b37be0bd3485bbb28c399bac024597cc6ef6508758908a3eae7daff99b"
    local read = assert(signature.read({ bytes = manifest, media_type = MANIFEST },
      { [digest_of(payload)] = payload }))
    assert.equal(1, #read.list)
    local function verified(name, wanted)
      return signature.verify { reference = bpf.registry.parse(name), digests = { wanted },
        signatures = { read }, key = public }
    end
    assert.is_true(verified("127.0.0.1:43217/acme/guard:signed", digest))
    assert.is_nil((verified("127.0.0.1:43217/acme/other:signed", digest)))
    assert.is_nil((verified("127.0.0.1:43217/acme/guard:signed", digest_of "another")))
  end)

  -- Debian 12 builds its skopeo without these signatures; BPFD_SKOPEO names another.
  describe("and skopeo", function()
    local program <const> = os.getenv "BPFD_SKOPEO" or "skopeo"

    local function policy(name, requirement)
      return write(name, bpf.json.encode {
        default = { { type = "reject" } },
        transports = {
          docker = { [registry.host] = { requirement } },
          dir = { [""] = { { type = "insecureAcceptAnything" } } },
        },
      })
    end

    local function skopeo(policy_path, ...)
      return process.run { program, "--policy", policy_path, "--registries.d",
        directory .. "/registries.d", ... }
    end

    local function copy_out(policy_path, name)
      return skopeo(policy_path, "copy", "--src-tls-verify=false",
        ("docker://%s/%s"):format(registry.host, name), "dir:" .. directory .. "/out")
    end

    local signed_only, any

    setup(function()
      assert(uv.fs_mkdir(directory .. "/registries.d", 448))
      write("registries.d/spec.yaml",
        ("docker:\n  %s:\n    use-sigstore-attachments: true\n"):format(registry.host))
      signed_only = policy("signed.json", { type = "sigstoreSigned",
        keyPath = directory .. "/pair.pub" })
      any = policy("any.json", { type = "insecureAcceptAnything" })
    end)

    local function skip_without_sigstore(result)
      if result.stderr:find("sigstore disabled", 1, true) then
        pending(("%s is built without sigstore: %s"):format(program,
          result.stderr:match "msg=(.-)%s*$"))
      end
    end

    it("accepts ours under its policy sigstoreSigned, and none by another key", function()
      local session <close> = open "for-skopeo:1"
      push(session)
      assert.equal(1, copy_out(signed_only, "for-skopeo:1").exit)
      sign(session, new_pair().private)
      assert.equal(1, copy_out(signed_only, "for-skopeo:1").exit)
      sign(session)
      local result = copy_out(signed_only, "for-skopeo:1")
      skip_without_sigstore(result)
      assert.equal(0, result.exit, result.stderr)
    end)

    it("accepts the manifest that it chooses from a signed index", function()
      local session <close> = open "index-for-skopeo:1"
      local digest = push(session)
      local entry = { mediaType = MANIFEST, digest = digest, size = session:manifest().size,
        platform = { os = "linux", architecture = platform.mine().architecture } }
      local index = "application/vnd.oci.image.index.v1+json"
      assert(session:push_manifest("1", bpf.json.encode { schemaVersion = 2, mediaType = index,
        manifests = { entry } }, index))
      sign(session)
      local result = copy_out(signed_only, "index-for-skopeo:1")
      skip_without_sigstore(result)
      assert.equal(0, result.exit, result.stderr)
    end)

    it("signs with a key of ours so that it verifies here", function()
      local session <close> = open "by-skopeo:1"
      push(session)
      local result = skopeo(any, "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
        "--sign-by-sigstore-private-key", directory .. "/pair.key",
        "--sign-passphrase-file", directory .. "/passphrase",
        ("docker://%s/by-skopeo:1"):format(registry.host),
        ("docker://%s/by-skopeo:signed"):format(registry.host))
      skip_without_sigstore(result)
      assert.equal(0, result.exit, result.stderr)
      local signed <close> = open "by-skopeo:signed"
      local digest = assert(signed:manifest()).digest
      assert.is_true(verify(signed, { digest }))
      assert.is_nil((verify(signed, { digest }, new_pair().public)))
      sign(signed) -- beside skopeo's
      assert.is_true(verify(signed, { digest }))
    end)
  end)
end)
