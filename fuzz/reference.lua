-- Image references, and what a registry asks for before it answers.

local challenge = require "bpf.registry.challenge"
local check = require "fuzz.check"
local reference = require "bpf.registry.reference"

return function(text)
  local read <const> = check.result(reference.parse(text))
  if read then
    local again <const> = assert(reference.parse(read:text()))
    assert(again:text() == read:text(), "its text is another reference")
    assert(not read.repository:find("..", 1, true), "it leads elsewhere")
    assert(reference.parse(read:at(read:version()):text()))
  end
  challenge.choose { text }
end
