-- The yaml format: by a table, and read back by another implementation where there is one.
local json = require "bpf.json"
local process = require "spec.support.process"
local yaml = require "bpfctl.format.yaml"

local function drawn(text) return yaml.any(json.decode(text, { null = true })) end

describe("yaml", function()
  for _, case in ipairs {
    { '{}', "{}" }, { '[]', "[]" }, { 'null', "null" }, { '"x"', "x" }, { '5', "5" },
    { '{"id":1,"name":"a"}', "id: 1\nname: a" },
    { '{"metadata":{"zone":"b","name":"c"}}', "metadata:\n  name: c\n  zone: b" },
    { '[{"id":1,"map_ids":[]},{"id":2}]', "- id: 1\n  map_ids: []\n- id: 2" },
    { '{"a":[1,[2,3],{"b":{}}]}', "a:\n- 1\n-\n  - 2\n  - 3\n- b: {}" },
    { '[{"b":{"c":1}}]', "- b:\n    c: 1" },
    { '{"x":18446744073709551615}', "x: 18446744073709551615" },
    { '{"x":1e20}', "x: 1.0e+20" }, { '{"x":0.1}', "x: 0.1" }, { '{"x":-2.5}', "x: -2.5" },
  } do
    it("writes " .. case[1], function() assert.equal(case[2] .. "\n", drawn(case[1])) end)
  end

  local texts <const> = {
    "", " ", "a", "a b", "/run/bpfd", "null", "Null", "~", "true", "No", "y", "1", "0x1f", "1e3",
    ".5", "1:20", "2023-07-17", "2023-07-17T21:20:14Z", "- a", "-", "a: b", "a #b", "#", "&a", "*a",
    "!t", "|", ">", "%", "@", "`", "'", '"', "\\", "a\nb", "a\n", "\t", "\0", "\27[1m", "\127",
    "{", "}", "[", "]", ",", "?", "=", "<<", "ä", "\u{85}", "\u{2028}", "\u{FEFF}", "\u{1F600}",
    "quay.io/acme/x:1", "sha256:9f2c", "key=value", "0o17", "_1", "1_000", ".inf", "nan", "...",
    "---", "a'b", "veth0", "on", "off", "\\x41", "-a", "+1",
  }

  it("quotes every text that a reader could take for something else", function()
    local plain = {}
    for _, text in ipairs(texts) do
      local line = yaml.any { x = text }
      if not line:find '"' then plain[#plain + 1] = text end
    end
    assert.same({ "a", "/run/bpfd", "_1", "nan", "veth0" }, plain)
  end)

  it("is read by another implementation as it was written", function()
    local reader = [[
import json, sys, yaml
print(json.dumps(yaml.safe_load(sys.stdin.buffer.read().decode()), sort_keys=True))]]
    if process.run({ "/usr/bin/env", "python3", "-c", "import yaml" }).exit ~= 0 then
      pending "python3-yaml is not installed"
      return
    end
    local data = { texts = texts, keys = {}, nested = { { { 1, 2.5, 1e300, -1e-7 } }, {}, { {} } },
      n = json.null, t = true, big = json.unsigned(-1), low = math.mininteger }
    for i, text in ipairs(texts) do
      if text ~= "\0" then data.keys[text] = i end -- no key in JSON may have one
    end
    local back = process.check({ "/usr/bin/env", "python3", "-c", reader },
      { stdin = yaml.any(data) })
    local read = assert(json.decode(back, { null = true }))
    assert.equal(json.encode(data, { sorted = true }), json.encode(read, { sorted = true }))
  end)
end)
