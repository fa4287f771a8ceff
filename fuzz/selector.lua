-- Selectors, and the values of globals and keys that people type.

local check = require "fuzz.check"
local global = require "bpf.global"
local literal = require "bpf.literal"
local selector = require "bpf.selector"
local verdict = require "bpf.verdict"

return function(text)
  local matches <const> = check.result(selector.parse(text))
  if matches then
    assert(type(matches { owner = "acme", zone = "" }) == "boolean")
    matches {}
  end
  check.result(global.split(text))
  check.result(global.fit(text, 4))
  check.result(literal.read(text))
  local words = {}
  for word in text:gmatch "[^,]+" do words[#words + 1] = word end
  for _, kind in ipairs { "xdp", "tc" } do
    local mask <const> = check.result(verdict.encode(kind, words))
    if mask then
      local names <const> = assert(verdict.decode(kind, mask))
      assert(verdict.encode(kind, names) == mask, "other verdicts come back")
    end
  end
end
