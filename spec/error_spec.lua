local error_object = require "bpf.error"

describe("an error object", function()
  it("says what was being done, the outermost first, and leaves its origin alone", function()
    local err = error_object.new { code = "ENOENT", message = "there is no interface eth9" }
    assert.equal("there is no interface eth9", tostring(err))
    local outer = err:because("attaching pass"):because("loading /x.o")
    assert.equal("loading /x.o: attaching pass: there is no interface eth9", tostring(outer))
    assert.equal("ENOENT", outer.code)
    assert.is_nil(err.doing)
  end)

  it("carries advice", function()
    local err = error_object.new { message = "no" }
    assert.equal("try again", err:with_advice("try again").advice)
    assert.is_nil(err.advice)
  end)

  it("is known from anything else", function()
    assert.is_true(error_object.is(error_object.new { message = "x" }))
    assert.is_false(error_object.is { message = "x" })
    assert.is_false(error_object.is(nil))
  end)

  it("is the same kind whether C or Lua made it", function()
    local core = require "bpf.core"
    local none, err = core.system.open "/nowhere"
    assert.is_nil(none)
    assert.is_true(error_object.is(err))
    assert.equal("ENOENT", err.code)
  end)

  it("refuses fields that nobody knows", function()
    assert.has_error(function() error_object.new { message = "x", mesage = "y" } end)
    assert.has_error(function() error_object.new { code = "EINVAL" } end)
  end)
end)
