-- Helpers that reach beyond the packet: no program may call them, whoever loads it.

local forbidden = {
  bpf_probe_write_user = "writes into processes",
  bpf_override_return = "makes system calls fail",
  bpf_send_signal = "signals processes",
  bpf_send_signal_thread = "signals processes",
}

return hooks.add {
  name = "example/forbidden-helpers",
  on = { "program.load", "program.replace" },
  run = function(event)
    for name, program in pairs(event.object.programs) do
      for _, helper in ipairs(program.helpers) do
        if forbidden[helper] then
          return hooks.deny(("%s calls %s, which %s"):format(name, helper, forbidden[helper]))
        end
      end
    end
  end,
}
