-- One line in bpfd's log for everything that has happened or was refused, and who asked for it.

local function subject(event)
  local program = event.program or event
  local attach = event.attach or {}
  local what = { program.name or event.image_url or "-", program.id and "id " .. program.id,
    attach.type, attach.iface, event.object and event.object.digest or program.digest }
  local words = {}
  for place = 1, 5 do words[#words + 1] = what[place] end
  return table.concat(words, " ")
end

local on = {}
for _, request in ipairs { "program.load", "program.unload", "program.replace", "image.pull",
  "map.open" } do
  on[#on + 1] = request .. ".done"
  on[#on + 1] = request .. ".failed"
end

return hooks.add {
  name = "example/audit-log",
  on = on,
  run = function(event)
    local outcome = event.error and ("refused by %s: %s"):format(event.error.hook or "bpfd",
      event.error.message) or "done"
    log.info("audit: %s user=%d pid=%d %s: %s", event.on, event.peer.uid, event.peer.pid,
      subject(event), outcome)
  end,
}
