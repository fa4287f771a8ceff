-- Runs one spec file under busted, whatever Lua version Debian's own `busted` would choose.
local file = table.remove(arg, 1)
arg = { [0] = "spec", "--output=spec.support.results", file, table.unpack(arg) } -- luacheck: ignore
if file:find "/kernel/" then require "spec.support.root" end
require "busted.runner" { standalone = false }
