-- The image store: what it has, what it keeps, and what a crash leaves.
local uv = require "luv"
local core = require "bpf.core"
local image = require "bpf.image"
local reference = require "bpf.registry.reference"
local json = require "bpf.json"
local files = require "spec.support.files"
local process = require "spec.support.process"

local BUILD <const> = os.getenv "BUILD"
local PASS <const> = BUILD .. "/examples/xdp_pass_kern.o"
local ACCEPT <const> = BUILD .. "/examples/accept-all.o"

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a"
end

describe("an image store", function()
  local directory, store

  before_each(function()
    directory = os.tmpname()
    os.remove(directory)
    store = assert(image.store.open(directory))
  end)
  after_each(function() process.check { "rm", "-rf", directory } end)

  local function built(name, path, architecture)
    local parsed = assert(reference.parse(name))
    assert(image.build.run(store, { reference = parsed,
      parts = { { path = path or PASS, architecture = architecture } } }))
    return assert(image.stored.find(store, { reference = parsed:text() }))
  end

  local function names()
    local list = {}
    for i, each in ipairs(assert(image.described.all(store))) do
      list[i] = each.image_url or "nameless"
    end
    return list
  end

  local function blobs()
    local list = assert(core.system.list(directory .. "/blobs/sha256"))
    table.sort(list)
    return list
  end

  -- As if it had been used that many seconds ago.
  local function age(found, seconds)
    local now = os.time()
    assert(uv.fs_utime(store:blob_path(found.digest), now - seconds, now - seconds))
  end

  it("is an OCI image layout, which skopeo reads", function()
    built("quay.io/acme/pass:1")
    assert.same({ imageLayoutVersion = "1.0.0" }, json.decode(read(directory .. "/oci-layout")))
    local seen = json.decode(process.check { "skopeo", "inspect",
      "oci:" .. directory .. ":quay.io/acme/pass:1" })
    assert.equal("xdp_pass_kern.o", seen.Labels["io.ebpf.filename"])
    assert.equal(1, #seen.Layers)
  end)

  it("is for its owner alone", function()
    built("quay.io/acme/pass:1")
    assert.equal(tonumber("700", 8), core.system.facts(directory).mode)
    assert.equal(tonumber("600", 8), core.system.facts(directory .. "/index.json").mode)
  end)

  it("opens again with what it has, and knows what is no store", function()
    built("quay.io/acme/pass:1")
    store = assert(image.store.open(directory))
    assert.same({ "quay.io/acme/pass:1" }, names())
    local other, err = image.store.open_layout "/proc"
    assert.is_nil(other)
    assert.matches("^/proc is no OCI image layout", err.message)
  end)

  it("has an image's object out of its layer, in sealed memory", function()
    local found = built("quay.io/acme/pass:1")
    local object <close>, facts = image.stored.object(store, found)
    assert.equal("xdp_pass_kern.o", facts.path)
    assert.equal("sha256:" .. assert(core.system.sha256(object)), facts.digest)
    assert.equal(store.digest_of(read(PASS)), facts.digest)
  end)

  it("refuses an image whose object is larger than the limit", function()
    local found = built("quay.io/acme/pass:1")
    for _ = 1, 2 do
      local object, err = image.stored.object(store, found, 100)
      assert.is_nil(object)
      assert.matches("larger than 100 bytes", err.message)
      assert(image.stored.object(store, found)):close() -- and not more once it is unpacked
    end
  end)

  it("notices a blob that has changed, of each kind", function()
    local found = built("quay.io/acme/pass:1")
    assert(image.stored.object(store, found)):close()
    for _, digest in ipairs { found.digest, found.manifest.config.digest } do
      local good = read(store:blob_path(digest))
      files.write(store:blob_path(digest), good:sub(1, -2) .. "!")
      local again, err = image.stored.find(store, { reference = "quay.io/acme/pass:1" })
      assert.is_nil(again)
      assert.equal("ENODATA", err.code)
      assert.equal(("its blob %s is corrupted in the store"):format(digest), err.message)
      files.write(store:blob_path(digest), good)
    end
    local _, facts = image.stored.object(store, found)
    files.write(store:blob_path(facts.digest), "\127ELF")
    local object <close> = assert(image.stored.object(store, found)) -- out of its layer again
    assert.equal(facts.digest, "sha256:" .. core.system.sha256(object))
    files.write(store:blob_path(facts.digest), read(PASS):gsub(".$", "!"))
    object:close()
    assert(image.stored.object(store, found)):close()
    files.write(store:blob_path(facts.digest), "x")
    files.write(store:blob_path(found.manifest.layer.digest), "x")
    local none, err = image.stored.object(store, found)
    assert.is_nil(none)
    assert.equal("ENODATA", err.code)
  end)

  it("gives a name to another image, and the first stays until it is pruned", function()
    local first = built("quay.io/acme/pass:1")
    built("quay.io/acme/pass:1", ACCEPT)
    assert.same({ "nameless", "quay.io/acme/pass:1" }, (function()
      local list = names()
      table.sort(list)
      return list
    end)())
    local found = assert(image.stored.find(store, { reference = "quay.io/acme/pass:1",
      digest = first.digest }))
    assert.same({ pass = "xdp", xdp = "xdp" }, found.labels.programs)
    assert(image.prune.run(store, { nameless = true, keep = { [first.digest] = true } }))
    assert.equal(2, #names())
    local pruned = assert(image.prune.run(store, { nameless = true }))
    assert.is_true(pruned.freed > 0)
    assert.same({ "quay.io/acme/pass:1" }, names())
  end)

  it("removes an image with all that only it needed", function()
    local first = built("quay.io/acme/pass:1")
    assert(image.stored.object(store, first)):close()
    local before = blobs()
    local second = built("quay.io/acme/accept:1", ACCEPT)
    assert(image.stored.object(store, second)):close()
    built("quay.io/acme/same:1", ACCEPT)
    assert.is_false(image.prune.remove(store, "quay.io/acme/none:1"))
    assert.is_true(image.prune.remove(store, "quay.io/acme/same:1"))
    assert(image.stored.object(store, second)):close()
    assert.is_true(image.prune.remove(store, "quay.io/acme/accept:1"))
    assert.same(before, blobs())
    assert.equal(1, #core.system.list(directory .. "/unpacked"))
  end)

  it("does not remove what a program needs, unless it has another name", function()
    local found = built("quay.io/acme/pass:1")
    local keep = { [found.digest] = { 7, 12 } }
    local removed, err = image.prune.remove(store, "quay.io/acme/pass:1", keep)
    assert.is_nil(removed)
    assert.equal("quay.io/acme/pass:1 is needed by programs 7, 12", err.message)
    assert.equal("EBUSY", err.code)
    built "quay.io/acme/same:1"
    assert.is_true(image.prune.remove(store, "quay.io/acme/pass:1", keep))
    assert.is_nil(image.prune.remove(store, "quay.io/acme/same:1", keep))
  end)

  it("drops what was not used for the longest until it is small enough, and nothing needed",
    function()
      local kept = built("quay.io/acme/kept:1", BUILD .. "/objects/daemon.o")
      local old = built("quay.io/acme/old:1")
      local new = built("quay.io/acme/new:1", ACCEPT)
      age(kept, 300)
      age(old, 200)
      age(new, 100)
      local keep = { [kept.digest] = true }
      local size = assert(image.prune.run(store, { keep = keep })).size
      local pruned = assert(image.prune.run(store, { keep = keep, size = size - 1 }))
      assert.same({ "quay.io/acme/old:1" }, pruned.removed)
      image.prune.touch(store, kept.digest)
      pruned = assert(image.prune.run(store, { keep = keep, size = 1 }))
      assert.same({ "quay.io/acme/new:1" }, pruned.removed)
      assert.same({ "quay.io/acme/kept:1" }, names())
      pruned = assert(image.prune.run(store, { all = true }))
      assert.same({ "quay.io/acme/kept:1" }, pruned.removed)
      assert.same({}, blobs())
      assert.equal(0, pruned.size)
    end)

  it("keeps half of a blob, and goes on from there", function()
    local bytes = ("0123456789"):rep(1000)
    local digest = store.digest_of(bytes)
    local good, err = store:receive(digest, #bytes, function(file)
      assert(core.system.write(file, bytes:sub(1, 4000)))
      return nil, require("bpf.error").new { code = "EPIPE", message = "it broke" }
    end)
    assert.is_nil(good)
    assert.equal("it broke", err.message)
    assert.is_false(store:has(digest))
    assert.is_true(store:receive(digest, #bytes, function(file)
      assert.equal(4000, core.system.facts(file).size)
      local rest <close> = assert(io.open("/proc/self/fd/" .. file:fd(), "ab"))
      return rest:write(bytes:sub(4001)) and true
    end))
    assert.equal(bytes, store:read(digest, #bytes))
    assert.same({}, core.system.list(directory .. "/partial"))
    assert.is_true(store:receive(digest, #bytes, function() error "it is there already" end))
  end)

  it("prunes half-done downloads of nobody, and leaves those of others alone", function()
    local mine = "sha256:" .. ("a"):rep(64)
    local dead = "sha256:" .. ("b"):rep(64)
    files.write(directory .. "/partial/" .. dead, "half")
    files.write(directory .. "/partial/new-999999999-1", "a writer that has died")
    store:receive(mine, 100, function(file)
      assert(core.system.write(file, "half"))
      assert(image.prune.run(store))
      assert.equal(2, #core.system.list(directory .. "/partial"))
      assert(image.prune.run(store, { partial = true }))
      assert.same({ mine }, core.system.list(directory .. "/partial"))
      return nil, require("bpf.error").new { message = "no more" }
    end)
  end)

  it("is whole after a kill at any moment", function()
    local script = ([[
      local image, reference = require "bpf.image", require "bpf.registry.reference"
      local store = assert(image.store.open %q)
      for i = 1, 1000 do
        local path = i %% 2 == 0 and %q or %q
        local name = assert(reference.parse("quay.io/acme/x:" .. i %% 3))
        assert(image.build.run(store, { reference = name, parts = { { path = path } } }))
        local found = assert(image.stored.find(store, { reference = name:text() }))
        assert(image.stored.object(store, found)):close()
        if i == 1 then io.open(%q, "w"):close() end
        if i %% 5 == 0 then assert(image.prune.run(store, { nameless = true })) end
        if i %% 11 == 0 then assert(image.prune.run(store, { all = true })) end
      end]]):format(directory, PASS, ACCEPT, directory .. "/started")
    math.randomseed(7)
    for _ = 1, 40 do
      local child = process.start { "lua5.4", "-e", script }
      assert(process.eventually(function() return os.remove(directory .. "/started") end))
      uv.sleep(math.random(0, 60))
      child:signal "sigkill"
      child:wait()
      store = assert(image.store.open(directory))
      for _, hex in ipairs(blobs()) do
        assert.equal("sha256:" .. hex, store.digest_of(read(directory .. "/blobs/sha256/" .. hex)))
      end
      for _, each in ipairs(assert(image.described.all(store))) do
        assert.is_nil(each.problem)
      end
    end
    assert(image.prune.run(store, { all = true, partial = true }))
    assert.same({}, blobs())
    assert.same({}, core.system.list(directory .. "/partial"))
    assert.same({}, core.system.list(directory .. "/unpacked"))
  end)

  it("is shared by several who write and prune at once", function()
    local script = ([[
      local image, reference = require "bpf.image", require "bpf.registry.reference"
      local store = assert(image.store.open %q)
      for i = 1, 10 do
        local name = assert(reference.parse("quay.io/acme/x:" .. WHO .. "-" .. i))
        assert(image.build.run(store, { reference = name, parts = { { path = %q } } }))
        assert(image.prune.run(store, { nameless = true }))
      end]]):format(directory, PASS)
    local children = {}
    for who = 1, 4 do
      children[who] = process.start { "lua5.4", "-e", ("WHO = %d "):format(who) .. script }
    end
    for _, child in ipairs(children) do assert.equal(0, child:wait(30000)) end
    assert.equal(40, #names())
  end)
end)
