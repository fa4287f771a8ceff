-- Every team has a band of priorities: its programs run before or behind those of others, whatever
-- they ask for. The team is the user's group; who is in none gets the last band.

local bands = {
  { group = "security", first = 0, last = 99 },
  { group = "netops", first = 100, last = 499 },
  { group = nil, first = 500, last = 999 },
}

local function band_of(groups)
  for _, band in ipairs(bands) do
    if not band.group or groups[band.group] then return band end
  end
end

return hooks.add {
  name = "example/priority-bands",
  on = { "program.load", "program.replace" },
  run = function(event)
    local priority = event.attach.priority
    if not priority or event.peer.uid == 0 then return end
    local band = band_of(event.peer.groups)
    local wanted = math.max(band.first, math.min(band.last, priority))
    if wanted == priority then return end
    return hooks.amend {
      attach = { priority = wanted }, metadata = { band = band.group or "other" },
    }
  end,
}
