require "spec.support.root"

local bpf = require "bpf"
local uv = require "luv"

local path <const> = os.getenv "BUILD" .. "/objects/handles_counter.o"

describe("a pin", function()
  local directory

  before_each(function()
    directory = assert(uv.fs_mkdtemp "/tmp/bpfd-spec-XXXXXX")
    assert(bpf.pin.mount_bpffs(directory))
  end)

  after_each(function()
    assert(bpf.pin.unmount(directory))
    assert(uv.fs_rmdir(directory))
  end)

  local function loaded()
    local object = assert(bpf.object.open(path))
    assert(object:choose { "count", "trace" })
    assert(object:load())
    return object
  end

  it("lives on a bpffs, which is mounted once", function()
    assert.is_true(bpf.pin.is_bpffs(directory))
    assert.is_false(bpf.pin.is_bpffs "/tmp")
    assert(bpf.pin.mount_bpffs(directory))
    local mounts = 0
    for line in io.lines "/proc/self/mounts" do
      if line:find(directory, 1, true) then mounts = mounts + 1 end
    end
    assert.equal(1, mounts)
    local ok, err = bpf.pin.mount_bpffs(directory .. "/none")
    assert.is_nil(ok)
    assert.equal("ENOENT", err.code)
  end)

  it("keeps programs, maps and links alive, and opens each only as what it is", function()
    local ids = {}
    do
      local object <close> = loaded()
      local link <close> = assert(bpf.link.tracepoint(object.programs.trace,
        { category = "syscalls", name = "sys_enter_openat" }))
      assert(object.programs.count:pin(directory .. "/program"))
      assert(object.maps.tallies:pin(directory .. "/map"))
      assert(link:pin(directory .. "/link"))
      ids.program = object.programs.count:info().id
      ids.map, ids.link = object.maps.tallies:info().id, link:info().id
      local ok, err = object.programs.count:pin(directory .. "/program")
      assert.is_nil(ok)
      assert.equal("EEXIST", err.code)
    end
    collectgarbage()
    for _, kind in ipairs { "program", "map", "link" } do
      local handle <close> = assert(bpf[kind].open_pin(("%s/%s"):format(directory, kind)))
      assert.equal(ids[kind], handle:info().id)
      for _, other in ipairs { "program", "map", "link" } do
        if other ~= kind then
          local wrong, err = bpf[other].open_pin(("%s/%s"):format(directory, kind))
          assert.is_nil(wrong)
          assert.matches("is no pinned " .. other, err.message)
        end
      end
    end
    for _, kind in ipairs { "program", "map", "link" } do
      assert(bpf.pin.unlink(("%s/%s"):format(directory, kind)))
    end
  end)

  it("is renamed with its directory, never over another", function()
    local object <close> = loaded()
    assert(bpf.pin.mkdir(directory .. "/staging"))
    assert(bpf.pin.mkdir(directory .. "/taken"))
    assert(object.programs.count:pin(directory .. "/staging/program"))
    local ok, err = bpf.pin.rename(directory .. "/staging", directory .. "/taken")
    assert.is_nil(ok)
    assert.equal("EEXIST", err.code)
    assert(bpf.pin.rename(directory .. "/staging", directory .. "/final"))
    local program <close> = assert(bpf.program.open_pin(directory .. "/final/program"))
    assert.equal("count", program:info().name)
    local entries = assert(bpf.pin.list(directory))
    assert.equal("directory", entries.final)
    assert.is_nil(entries.staging)
    assert(bpf.pin.remove_tree(directory .. "/final"))
    assert(bpf.pin.remove_tree(directory .. "/taken"))
  end)

  it("goes with its tree, while links to elsewhere lead nowhere", function()
    local object <close> = loaded()
    local outside = assert(uv.fs_mkdtemp "/tmp/bpfd-spec-XXXXXX")
    uv.fs_close(assert(uv.fs_open(outside .. "/precious", "w", 384)))
    assert(bpf.pin.mkdir(directory .. "/tree"))
    assert(bpf.pin.mkdir(directory .. "/tree/branch"))
    assert(object.programs.count:pin(directory .. "/tree/branch/program"))
    assert(uv.fs_symlink(outside, directory .. "/tree/branch/trap"))
    assert(uv.fs_symlink(outside .. "/precious", directory .. "/tree/trap"))
    local none, err = bpf.program.open_pin(directory .. "/tree/trap")
    assert.is_nil(none)
    assert.equal("ELOOP", err.code)
    assert(bpf.pin.remove_tree(directory .. "/tree"))
    assert(bpf.pin.remove_tree(directory .. "/tree"))
    assert.is_nil(bpf.pin.list(directory).tree)
    assert.is_truthy(uv.fs_stat(outside .. "/precious"))
    uv.fs_unlink(outside .. "/precious")
    uv.fs_rmdir(outside)
  end)

  it("says what an ordinary file is not", function()
    local none, err = bpf.program.open_pin "/etc/passwd"
    assert.is_nil(none)
    assert.equal("/etc/passwd is no pinned program", err.message)
    none, err = bpf.map.open_pin(directory .. "/none")
    assert.is_nil(none)
    assert.equal("ENOENT", err.code)
  end)
end)
