local core = require "bpf.core"
local host = require "spec.support.host"
local rpc = require "spec.support.rpc"

-- What is refused, the code, and words of the message.
local function xdp(more)
  local attach = { type = "xdp", iface = "veth0", priority = 1 }
  for key, value in pairs(more or {}) do attach[key] = value end
  return attach
end

local cases = {
  { "a function that is not there", { name = "cuont_xdp", attach = xdp() }, "ENOENT", "count_xdp" },
  { "a name that is none", { name = "a/b", attach = xdp() }, "EINVAL", "name" },
  { "no name", { attach = xdp() }, "EINVAL", "name" },
  { "no attach", { name = "count_xdp" }, "EINVAL", "attach" },
  { "an attach type that is not known", { name = "count_xdp", attach = { type = "xpd" } },
    "EINVAL", "xdp" },
  { "a function of another type", { name = "count_tc", attach = xdp() }, "EINVAL", "not xdp" },
  { "a program that the verifier rejects", { name = "out_of_bounds", attach = xdp() }, "EACCES",
    "" },
  { "an interface that does not exist", { name = "count_xdp", attach = xdp { iface = "nowhere" } },
    "ENODEV", "nowhere" },
  { "an interface without a name", { name = "count_xdp", attach = xdp { iface = "" } }, "EINVAL",
    "iface" },
  { "a priority below 0", { name = "count_xdp", attach = xdp { priority = -1 } }, "EINVAL",
    "priority" },
  { "a priority that is no whole number", { name = "count_xdp", attach = xdp { priority = 1.5 } },
    "EINVAL", "priority" },
  { "a proceed-on that is not known",
    { name = "count_xdp", attach = xdp { proceed_on = { "psas" } } }, "EINVAL", "pass" },
  { "a direction of XDP", { name = "count_xdp", attach = xdp { direction = "ingress" } }, "EINVAL",
    "direction" },
  { "a direction that is none", { name = "count_tc",
    attach = { type = "tc", iface = "veth0", priority = 1, direction = "up" } }, "EINVAL",
    "direction" },
  { "a global that is not there",
    { name = "count_xdp", global = { VERDCIT = "00000000" }, attach = xdp() }, "ENOENT",
    "VERDICT" },
  { "a global of the wrong size",
    { name = "count_xdp", global = { VERDICT = "0000" }, attach = xdp() }, "EINVAL", "bytes" },
  { "a global of odd digits",
    { name = "count_xdp", global = { VERDICT = "000" }, attach = xdp() }, "EINVAL", "odd" },
  { "metadata that is no text",
    { name = "count_xdp", metadata = { a = 1 }, attach = xdp() }, "EINVAL", "metadata" },
  { "a map owner that is unknown",
    { name = "count_xdp", map_owner_id = 4294967295, attach = xdp() }, "ENOENT", "4294967295" },
  { "a tracepoint that does not exist",
    { name = "count_call", attach = { type = "tracepoint", tracepoint = "syscalls/nothing" } },
    "ENOENT", "nothing" },
  { "a tracepoint without a slash",
    { name = "count_call", attach = { type = "tracepoint", tracepoint = "syscalls" } }, "EINVAL",
    "CATEGORY/NAME" },
  { "a network namespace that does not exist",
    { name = "count_xdp", attach = xdp { netns = "bpfd-spec-nowhere" } }, "ENOENT", "nowhere" },
  { "a parameter that is not known",
    { name = "count_xdp", metdata = {}, attach = xdp() }, "EINVAL", "metadata" },
}

describe("the daemon refuses and leaves no trace of", function()
  local served <const> = host.for_all {
    config = 'return { images = { object_size = "1MiB" } }' }
  setup(function() assert(rpc.load_xdp(served, "veth0", 5)) end) -- it must stay as it is
  host.changes_nothing(served)

  for _, case in ipairs(cases) do
    local what, params, code, words = table.unpack(case)
    it(what, function()
      local program, err = rpc.load(served, params)
      assert.is_nil(program)
      assert.equal(code, err.code)
      assert.matches(words, tostring(err) .. (err.advice or ""), 1, true)
    end)
  end

  it("what the verifier has said, before telling it", function()
    local _, err = rpc.load(served, { name = "out_of_bounds", attach = xdp() })
    assert.matches("invalid", err.log)
    assert.matches("out_of_bounds", tostring(err))
  end)

  local function refused_file(path)
    local file <close> = assert(core.system.open(path))
    local program, err = rpc.call(served, "program.load",
      { fd = 0, name = "count_xdp", attach = xdp() }, { descriptors = { file } })
    assert.is_nil(program)
    return err
  end

  local function with_file(bytes, run)
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "wb"))
    file:write(bytes)
    file:flush()
    run(path)
    os.remove(path)
  end

  local function object_bytes()
    local file <close> = assert(io.open(rpc.object, "rb"))
    return file:read "a"
  end

  it("a directory, a device and a socket in the file's place", function()
    assert.matches("no regular file", tostring(refused_file "/tmp"))
    assert.matches("no regular file", tostring(refused_file "/dev/null"))
    local file <close> = core.socket.pair()
    local program, err = rpc.call(served, "program.load",
      { fd = 0, name = "count_xdp", attach = xdp() }, { descriptors = { file } })
    assert.is_nil(program)
    assert.matches("no regular file", tostring(err))
  end)

  it("a pipe that nobody writes to", function()
    local from, to = core.system.pipe()
    local program, err = rpc.call(served, "program.load",
      { fd = 0, name = "count_xdp", attach = xdp() }, { descriptors = { from } })
    assert.is_nil(program)
    assert.matches("no regular file", tostring(err))
    from:close()
    to:close()
  end)

  it("a text, an empty file, and a truncated object", function()
    local whole <const> = object_bytes()
    for _, bytes in ipairs { "hello\n", "", whole:sub(1, 3000), whole:sub(1, 40) } do
      with_file(bytes, function(path) assert.truthy(refused_file(path).message) end)
    end
  end)

  it("an object of the other byte order", function()
    local bytes = object_bytes()
    local swapped = bytes:sub(1, 5) .. (bytes:byte(6) == 1 and "\2" or "\1") .. bytes:sub(7)
    with_file(swapped, function(path) assert.truthy(refused_file(path).message) end)
  end)

  it("an object larger than the limit", function()
    with_file(object_bytes() .. ("\0"):rep(1 << 20), function(path)
      assert.equal("EFBIG", refused_file(path).code)
    end)
  end)

  it("a descriptor that did not come, and a path beside one", function()
    local _, err = rpc.call(served, "program.load", { fd = 3, name = "x", attach = xdp() })
    assert.matches("no descriptor 3", tostring(err))
    _, err = rpc.load(served, { path = rpc.object, name = "x", attach = xdp() })
    assert.matches("exclude", tostring(err))
    _, err = rpc.call(served, "program.load", { name = "x", attach = xdp() })
    assert.matches("missing", tostring(err))
  end)

  it("a path that is no file", function()
    for _, path in ipairs { "/nonexistent", "/tmp", "relative", "/dev/zero" } do
      local program, err = rpc.call(served, "program.load",
        { path = path, name = "count_xdp", attach = xdp() })
      assert.is_nil(program)
      assert.truthy(err.message)
    end
  end)

  it("an unload of what is not there, not ours, or no id", function()
    local _, err = rpc.call(served, "program.unload", { id = 4294967295 })
    assert.equal("ENOENT", err.code)
    assert.same({ id = 4294967295 },
      rpc.call(served, "program.unload", { id = 4294967295, missing_ok = true }))
    for _, id in ipairs { "7", 0, -1, 1.5, 1 << 40 } do
      _, err = rpc.call(served, "program.unload", { id = id })
      assert.equal("EINVAL", err.code)
    end
    local bpf = require "bpf"
    local object <close> = assert(bpf.object.open(rpc.object))
    assert(object:choose { "count_tc" })
    assert(object:load())
    local foreign = object.programs.count_tc:info().id
    _, err = rpc.call(served, "program.unload", { id = foreign })
    assert.equal("EPERM", err.code)
    local shown = assert(rpc.call(served, "program.get", { id = foreign }))
    assert.same({ false, "tc", "count_tc" }, { shown.managed, shown.type, shown.kernel.name })
    local all = rpc.call(served, "program.list", { all = true, program_type = "tc" }).programs
    local found
    for _, program in ipairs(all) do found = found or program.id == foreign end
    assert.is_true(found)
  end)

  it("a member more than the kernel verifies", function()
    local fine, err = rpc.load(served, { name = "takes_long", attach = xdp { priority = 9 } })
    local loaded = { fine }
    while fine and #loaded < 3 do
      fine, err = rpc.load(served, { name = "takes_long", attach = xdp { priority = 9 } })
      loaded[#loaded + 1] = fine
    end
    -- segments make room: what is refused, if anything, must say so and leave the chain
    if not fine then assert.truthy(err.message) end
    for i = #loaded, 1, -1 do
      assert(rpc.call(served, "program.unload", { id = loaded[i].id }))
    end
  end)
end)
