-- Which manifest of an image index is for a machine.
local index = require "bpf.registry.index"
local json = require "bpf.json"
local media_types = require "bpf.registry.media_types"
local platform = require "bpf.registry.platform"

local function digest(name) return "sha256:" .. (("%02x"):format(name:byte(-1))):rep(32) end

-- An index of "os/architecture/variant" texts, each with a digest of its own; "" has no platform.
local function index_of(...)
  local manifests = {}
  for place, text in ipairs { ... } do
    local os, architecture, variant = text:match "^(%w+)/(%w+)/?(%w*)$"
    manifests[place] = {
      mediaType = media_types.manifest, digest = "sha256:" .. ("%064x"):format(place), size = place,
      platform = os and { os = os, architecture = architecture,
        variant = variant ~= "" and variant or nil },
    }
  end
  return json.encode { schemaVersion = 2, mediaType = media_types.index, manifests = manifests }
end

local function wanted(text)
  local os, architecture, variant = text:match "^(%w+)/(%w+)/?(%w*)$"
  return { os = os, architecture = architecture, variant = variant ~= "" and variant or nil }
end

describe("an image index", function()
  local cases <const> = {
    -- for, the place of what is chosen, what there is
    { "linux/amd64", 2, "linux/arm64", "linux/amd64" },
    { "linux/amd64", 1, "linux/amd64", "linux/amd64" },
    { "linux/amd64", 2, "linux/amd64/v3", "linux/amd64" },
    { "linux/amd64", 2, "linux/amd64/v3", "linux/amd64/v1", "linux/amd64/v2" },
    { "linux/amd64", 3, "unknown/unknown", "", "linux/amd64" },
    { "linux/amd64", 2, "windows/amd64", "linux/amd64" },
    { "linux/arm64", 2, "linux/arm", "linux/arm64/v8" },
    { "linux/arm64", 2, "linux/arm64/v9", "linux/arm64" },
    { "linux/arm", 3, "linux/arm/v5", "linux/arm/v6", "linux/arm/v7" },
    { "linux/arm/v6", 2, "linux/arm/v5", "linux/arm/v6", "linux/arm/v7" },
    { "linux/arm/v6", 1, "linux/arm", "linux/arm/v7" },
    { "linux/s390x", 1, "linux/s390x" },
  }
  for _, case in ipairs(cases) do
    local machine <const>, place <const> = case[1], case[2]
    local there <const> = table.move(case, 3, #case, 1, {})
    it(("with %s has number %d for %s"):format(table.concat(there, ", "), place, machine),
      function()
        local chosen = assert(index.choose(index_of(table.unpack(there)), wanted(machine)))
        assert.equal(place, chosen.size)
      end)
  end

  it("without anything for a machine says what there is", function()
    for what, there in pairs {
      ["there is linux/arm64/v8, linux/amd64/v4"] = { "linux/arm64/v8", "linux/amd64/v4",
        "linux/arm64/v8", "unknown/unknown", "" },
      ["it names no platform"] = { "", "unknown/unknown" },
    } do
      local chosen, err = index.choose(index_of(table.unpack(there)), wanted "linux/amd64")
      assert.is_nil(chosen)
      assert.equal("ENOENT", err.code)
      assert.equal("the image has nothing for linux/amd64; " .. what, err.message)
    end
  end)

  it("is looked through for this machine where none is named", function()
    local own = platform.text(platform.mine())
    assert.equal(2, assert(index.choose(index_of("linux/none", own))).size)
    local uname = io.popen "uname -m"
    local machine = uname:read "l"
    uname:close()
    local names <const> = { x86_64 = "amd64", aarch64 = "arm64" }
    assert.equal(names[machine] or platform.mine().architecture, platform.mine().architecture)
  end)

  it("that is malformed is refused", function()
    local good = '{"mediaType":"x","digest":"' .. digest "a" .. '","size":1%s}'
    for text, why in pairs {
      ["{"] = "malformed JSON", ["1"] = "it is no object", ["{}"] = "it has no manifests",
      ['{"manifests":1}'] = "it has no manifests", ['{"manifests":[1]}'] = "manifest 1 has no",
      ['{"manifests":[{}]}'] = "manifest 1 has no",
      ['{"manifests":[' .. good:format "" .. ',{"mediaType":"x","digest":"../x","size":1}]}']
        = "manifest 2 has no",
      ['{"manifests":[{"mediaType":"x","digest":"' .. digest "a" .. '","size":-1}]}']
        = "manifest 1 has no",
      ['{"manifests":[' .. good:format ',"platform":{"os":1}' .. "]}"] = "manifest 1 has no",
    } do
      local read, err = index.read(text)
      assert.is_nil(read)
      assert.equal("EBADMSG", err.code)
      assert.is_truthy(err.message:find(why, 1, true), err.message)
      assert.equal("EBADMSG", select(2, index.choose(text)).code)
    end
    assert.equal(1, #index.read('{"manifests":[' .. good:format "" .. "]}"))
  end)
end)

describe("media types", function()
  it("tell manifests, indexes and what is neither apart", function()
    assert.is_true(media_types.is_manifest(media_types.manifest))
    assert.is_true(media_types.is_index "application/vnd.docker.distribution.manifest.list.v2+json")
    assert.is_false(media_types.is_index(media_types.manifest))
    assert.is_false(media_types.is_manifest "text/html")
    assert.is_true(media_types.is_schema1
      "application/vnd.docker.distribution.manifest.v1+prettyjws")
    for part in media_types.accepted:gmatch "[^, ]+" do
      assert.is_true(media_types.is_manifest(part) or media_types.is_index(part))
    end
  end)
end)
