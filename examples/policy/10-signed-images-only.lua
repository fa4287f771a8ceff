-- Programs come from signed images, and from nowhere else. Root may load files, to mend things.

return hooks.add {
  name = "example/signed-images-only",
  on = { "program.load", "program.replace" },
  run = function(event)
    if event.image then
      if event.image.signed_by then return end
      return hooks.deny(event.image.image_url .. " is not signed by a key of bpfd.lua")
    end
    if event.peer.uid == 0 then return end
    return hooks.deny "programs are loaded from signed images here: bpfctl load-from-image"
  end,
}
