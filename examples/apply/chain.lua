-- One chain, top to bottom: among equal priorities what is declared first runs first. With lines
-- moved and applied once more, the chain is reordered by one swap, and nothing is loaded again.

local function xdp(label, object, name, global)
  program(label) {
    path = "/run/bpfd/examples/" .. object, name = name, global = global,
    attach = { type = "xdp", iface = "eth0", priority = 50 },
  }
end

xdp("count-all", "go-xdp-counter/bpf_bpfel.o", "xdp_stats")
xdp("drop-port", "xdp_pass_kern.o", "xdp", { DROP_PORT = "u16:7007" })
xdp("count-passed", "go-xdp-counter/bpf_bpfel.o", "xdp_stats")
