-- SHA-256 by libmd and, above a size, by libcrypto: both as coreutils have it.
local system = require("bpf.core").system
local process = require "spec.support.process"

local function reference(bytes)
  return process.check({ "sha256sum" }, { stdin = bytes }):match "^%x+"
end

describe("a digest", function()
  it("is the standard's for its own examples", function()
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      system.sha256 "")
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      system.sha256 "abc")
  end)

  it("is what sha256sum says, at every length around blocks and where libcrypto takes over",
    function()
      local text = {}
      for i = 1, (1 << 20) + 64 do text[i] = string.char(i * 2654435761 >> 13 & 255) end
      text = table.concat(text)
      for _, length in ipairs { 1, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 127, 128, 129, 1000,
        (1 << 20) - 1, (1 << 20), (1 << 20) + 1, #text } do
        local bytes = text:sub(1, math.tointeger(length))
        assert.equal(reference(bytes), system.sha256(bytes), length)
      end
    end)
end)
