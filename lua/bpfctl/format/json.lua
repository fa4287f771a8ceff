-- JSON on one line, in the vocabulary's order.

local json = require "bpf.json"

-- JSON is UTF-8; what a path or a name holds otherwise becomes U+FFFD.
local function valid(text)
  while true do
    local _, wrong = utf8.len(text)
    if not wrong then return text end
    text = text:sub(1, wrong - 1) .. "\u{FFFD}" .. text:sub(wrong + 1)
  end
end

local function draw(data)
  return valid(json.encode(data, { sorted = true })) .. "\n"
end

return { program = draw, programs = draw, features = draw, maps = draw }
