-- The events that hooks are for.

local events = {}

--- A hook may deny these, and some of them it may amend.
events.deciding = {
  "program.load", "program.unload", "program.replace", "image.pull", "chain.change", "map.open",
}

--- These have happened; what a hook says to them changes nothing.
events.observing = {}
for _, name in ipairs(events.deciding) do
  table.insert(events.observing, name .. ".done")
  table.insert(events.observing, name .. ".failed")
end
for _, name in ipairs { "daemon.started", "link.up", "link.down" } do
  table.insert(events.observing, name)
end

--- All of them.
events.names = {}
events.is_deciding = {}
events.is_known = {}
for _, name in ipairs(events.deciding) do
  events.is_deciding[name] = true
  table.insert(events.names, name)
end
for _, name in ipairs(events.observing) do table.insert(events.names, name) end
for _, name in ipairs(events.names) do events.is_known[name] = true end

-- A replacement brings a program, as a load does: who decides of loads decides of it too.
local is_also <const> = {}
for _, ending in ipairs { "", ".done", ".failed" } do
  is_also["program.replace" .. ending] = "program.load" .. ending
end

--- What a hook hears of, and under which name: of what is another event too under that one's, if
--- it does not ask for it by its own.
---@param on string[]
---@return table<string, string>
function events.heard(on)
  local heard = {}
  for _, name in ipairs(on) do heard[name] = name end
  for name, other in pairs(is_also) do
    heard[name] = heard[name] or heard[other] and other
  end
  return heard
end

--- Those whose requests a hook may amend.
events.is_amendable = { ["program.load"] = true, ["program.replace"] = true }

return events
