-- Labels of bytecode images, in both forms.
local labels = require "bpf.image.labels"

describe("labels", function()
  it("name one program in the older form", function()
    assert.same({ programs = { pass = "xdp" }, maps = {}, filename = "pass.o", title = "xdp_pass" },
      labels.read {
        ["io.ebpf.program_type"] = "xdp", ["io.ebpf.filename"] = "pass.o",
        ["io.ebpf.program_name"] = "xdp_pass", ["io.ebpf.bpf_function_name"] = "pass",
        ["org.opencontainers.image.title"] = "something else",
      })
  end)

  it("name several in the newer, which decides where both are there", function()
    local found = assert(labels.read {
      ["io.ebpf.programs"] = '{"pass":"xdp","stats":"tc"}', ["io.ebpf.maps"] = '{"hits":"array"}',
      ["io.ebpf.bpf_function_name"] = "old", ["io.ebpf.program_type"] = "xdp",
    })
    assert.same({ pass = "xdp", stats = "tc" }, found.programs)
    assert.same({ hits = "array" }, found.maps)
  end)

  it("may be missing", function()
    assert.same({ programs = {}, maps = {} }, labels.read {})
  end)

  for what, text in pairs { ["no JSON"] = "pass", ["an array"] = '["pass"]', ["a number"] = "5",
    ["a type that is no text"] = '{"pass":1}', ["an empty name"] = '{"":"xdp"}',
    ["a name with a slash"] = '{"a/b":"xdp"}' } do
    it(("are refused with %s in them"):format(what), function()
      for _, label in ipairs { "io.ebpf.programs", "io.ebpf.maps" } do
        local found, err = labels.read { [label] = text }
        assert.is_nil(found)
        assert.matches("^its label " .. label .. " is ", err.message)
      end
    end)
  end

  it("decide the program where they name one", function()
    assert.equal("pass", labels.only_program { programs = { pass = "xdp" } })
    local name, err = labels.only_program { programs = { b = "xdp", a = "tc" } }
    assert.is_nil(name)
    assert.equal("it has 2 programs: a, b", err.message)
    assert.equal("choose one with --name", err.advice)
    name, err = labels.only_program { programs = {} }
    assert.is_nil(name)
    assert.equal("no label of it names a program", err.message)
  end)

  it("decide the object where there are two", function()
    local one, two = { path = "./a.o" }, { path = "b.o" }
    assert.equal(one, labels.only_object({ one }, nil))
    assert.equal(one, labels.only_object({ one }, "anything"))
    assert.equal(one, labels.only_object({ one, two }, "a.o"))
    assert.equal(one, labels.only_object({ one, two }, "./a.o"))
    assert.equal(two, labels.only_object({ one, two }, "/b.o"))
    local found, err = labels.only_object({ two, one }, "c.o")
    assert.is_nil(found)
    assert.equal("it has 2 eBPF objects where one was expected: a.o, b.o", err.message)
    found, err = labels.only_object({}, nil)
    assert.is_nil(found)
    assert.matches("^it has no eBPF layer", err.message)
  end)

  it("are written in both forms where one program allows it", function()
    local set = labels.write { programs = { pass = "xdp" }, maps = {}, filename = "pass.o" }
    assert.same({ ["io.ebpf.programs"] = '{"pass":"xdp"}', ["io.ebpf.maps"] = "{}",
      ["io.ebpf.filename"] = "pass.o", ["io.ebpf.bpf_function_name"] = "pass",
      ["io.ebpf.program_type"] = "xdp", ["io.ebpf.program_name"] = "pass" }, set)
    set = labels.write { programs = { b = "xdp", a = "tc" }, maps = { hits = "array" },
      filename = "x.o" }
    assert.same({ ["io.ebpf.programs"] = '{"a":"tc","b":"xdp"}',
      ["io.ebpf.maps"] = '{"hits":"array"}', ["io.ebpf.filename"] = "x.o" }, set)
  end)
end)
