-- JSON on one line, in the vocabulary's order, for every kind of data.

local json = require "bpf.json"
local valid = require "bpfctl.format.valid"

local function draw(data)
  return valid(json.encode(data, { sorted = true })) .. "\n"
end

return { any = draw, nulls = true }
