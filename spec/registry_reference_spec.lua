-- Image references.
local reference = require "bpf.registry.reference"

local DIGEST <const> = "sha256:" .. ("0123456789abcdef"):rep(4)

describe("an image reference", function()
  local good <const> = {
    -- text, registry, repository, tag, digest
    { "quay.io/acme/guard:1.4", "quay.io", "acme/guard", "1.4" },
    { "quay.io/acme/guard", "quay.io", "acme/guard", "latest" },
    { "127.0.0.1:5000/x", "127.0.0.1:5000", "x", "latest" },
    { "localhost/x:y", "localhost", "x", "y" },
    { "localhost:5000/a/b/c:y", "localhost:5000", "a/b/c", "y" },
    { "[::1]:5000/x:y", "[::1]:5000", "x", "y" },
    { "Registry/x", "Registry", "x", "latest" },
    { "x", "docker.io", "library/x", "latest" },
    { "x:5000", "docker.io", "library/x", "5000" },
    { "acme/x", "docker.io", "acme/x", "latest" },
    { "docker.io/x", "docker.io", "library/x", "latest" },
    { "index.docker.io/x", "docker.io", "library/x", "latest" },
    { "quay.io/x@" .. DIGEST, "quay.io", "x", nil, DIGEST },
    { "quay.io/x:1@" .. DIGEST, "quay.io", "x", "1", DIGEST },
    { "x@" .. DIGEST, "docker.io", "library/x", nil, DIGEST },
    { "a.b-c.d:1/a__b/c-d.e_f--g:_T.-_1", "a.b-c.d:1", "a__b/c-d.e_f--g", "_T.-_1" },
    { "quay.io/x:" .. ("t"):rep(128), "quay.io", "x", ("t"):rep(128) },
  }
  for _, case in ipairs(good) do
    local text <const>, registry <const>, repository <const>, tag <const>, digest <const> =
      table.unpack(case, 1, 5)
    it(("%s is read"):format(text), function()
      local ref = assert(reference.parse(text))
      assert.same({ registry, repository, tag, digest },
        { ref.registry, ref.repository, ref.tag, ref.digest })
      local canonical = ref:text()
      assert.equal(canonical, assert(reference.parse(canonical)):text())
      assert.equal(registry .. "/" .. repository, ref:name())
      assert.equal(digest or tag, ref:version())
    end)
  end

  local bad <const> = {
    -- text, where reading stops, what is told
    { "", "", "a repository is" },
    { "quay.io/", "", "a repository is" },
    { "quay.io/Acme/x", "Acme/x", "a repository is" },
    { "acme/X", "/X", "a repository is" },
    { "quay.io/a//b", "//b", "a repository is" },
    { "quay.io/a/../b", "/../b", "a repository is" },
    { "quay.io/a b", " b", "a repository is" },
    { "quay.io/a:", "", "a tag is" },
    { "quay.io/a:-x", "-x", "a tag is" },
    { "quay.io/a:x/y", "/y", "a tag is" },
    { "quay.io/a:x:y", ":y", "a tag is" },
    { "quay.io/a@sha256:12", "sha256:12", "a digest is" },
    { "quay.io/a@" .. DIGEST:upper(), DIGEST:upper(), "a digest is" },
    { "quay.io/a@md5:12", "md5:12", "a digest is" },
    { "quay.io/a@" .. DIGEST .. "0", "0", "a digest is" },
    { "quay.io/a@" .. DIGEST .. ":x", ":x", "a digest is" },
    { "quay..io/a", "quay..io/a", "a registry is" },
    { "quay.io:port/a", "quay.io:port/a", "a registry is" },
    { "user@quay.io/a", "quay.io/a", "a digest is" },
    { "https://quay.io/a", "https://quay.io/a", "a registry is" },
    { "quay.io/a:" .. ("t"):rep(129), ("t"):rep(129), "a tag has at most 128 bytes" },
    { "quay.io/" .. ("a"):rep(250), "quay.io/" .. ("a"):rep(250), "have at most 255 bytes" },
    { "quay.io/a\0b", "\0b", "a repository is" },
    { "quay.io/a\n", "\n", "a repository is" },
  }
  for _, case in ipairs(bad) do
    local text <const>, rest <const>, why <const> = table.unpack(case)
    it(("%q is refused from %q on"):format(text, rest), function()
      local ref, err = reference.parse(text)
      assert.is_nil(ref)
      assert.equal("EINVAL", err.code)
      local says <const> = ("cannot read the image reference '%s' from '%s' on: "):format(text,
        rest)
      assert.equal(says, err.message:sub(1, #says))
      assert.is_truthy(err.message:find(why, 1, true))
    end)
  end

  it("with a scheme is told to leave it away", function()
    for _, scheme in ipairs { "https://", "docker://" } do
      local _, err = reference.parse(scheme .. "quay.io/a:1")
      assert.equal(("leave %s away"):format(scheme), err.advice)
    end
  end)

  it("gives others of the same repository", function()
    local ref = assert(reference.parse "quay.io/a:1")
    assert.equal("quay.io/a:2", ref:at "2":text())
    assert.equal("quay.io/a@" .. DIGEST, ref:at(DIGEST):text())
  end)
end)
