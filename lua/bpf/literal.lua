-- Values as people type them: JSON, or the same with bare words, as Lua and BTF dumps have it.
--
--   7    10.0.0.1    eth0    {source: 9, mac: [2, 0, 0, 0, 0, 1]}    { source = 9, mac = {2, 0} }
--
-- What is neither a list nor an object nor in quotes is a text: which number or name it stands for
-- is the layout's to say, exactly.

local lpeg = require "lpeg"

local error_object = require "bpf.error"
local json = require "bpf.json"

local P <const>, R <const>, S <const>, V <const> = lpeg.P, lpeg.R, lpeg.S, lpeg.V
local C <const>, Ct <const>, Cf <const>, Cg <const> = lpeg.C, lpeg.Ct, lpeg.Cf, lpeg.Cg

local blank <const> = S " \t\r\n" ^ 0
local name <const> = C((R("az", "AZ", "09") + S "_.") ^ 1)
local quoted <const> = C(P '"' * (P "\\" * 1 + (1 - S '"\\')) ^ 0 * '"') / function(text)
  return (json.decode(text))
end
local word <const> = C((1 - S ' \t\r\n,;{}[]"') ^ 1)

local comma <const> = S ",;"
local function listed(item) return (item * (comma * blank * item) ^ 0 * comma ^ -1 * blank) ^ -1 end

local function set(object, key, value)
  object[key] = value
  return object
end

local grammar <const> = P {
  blank * V "value" * -1,
  value = (V "object" + V "array" + V "braced" + quoted + word) * blank,
  pair = Cg((quoted + name) * blank * S ":=" * blank * V "value"),
  object = "{" * blank * Cf(Ct "" * V "pair" * (comma * blank * V "pair") ^ 0, set)
    * comma ^ -1 * blank * "}",
  array = "[" * blank * Ct(listed(V "value")) * "]",
  braced = "{" * blank * Ct(listed(V "value")) * "}",
}

local literal = {}

---@param text string
---@return any value  a string, or lists and tables of them
---@return bpf.error? err
function literal.read(text)
  if not text:find '^%s*[{%["]' then return text end
  local ok, value = pcall(grammar.match, grammar, text)
  if ok and value ~= nil then return value end
  if #text > 60 then text = text:sub(1, 60) .. "..." end
  return nil, error_object.new {
    code = "EINVAL", message = ("'%s' cannot be read"):format(text),
    advice = 'write a value as 7, name, "text", [1, 2] or {member: 7, other: [1, 2]}',
  }
end

return literal
