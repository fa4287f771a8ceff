-- Counters on every veth interface there is and will be; both directions of one share a map.
-- Try it: bpfctl apply examples/apply/counters.lua --dry-run

local objects = "/run/bpfd/examples/"

program "packets" {
  path = objects .. "go-xdp-counter/bpf_bpfel.o", name = "xdp_stats", metadata = { owner = "acme" },
  attach = { type = "xdp", iface = "veth*", priority = 50 },
}

for _, direction in ipairs { "ingress", "egress" } do
  program("bytes-" .. direction) {
    path = objects .. "go-tc-counter/bpf_bpfel.o", name = "stats", metadata = { owner = "acme" },
    map_owner = direction == "egress" and "bytes-ingress" or nil,
    attach = { type = "tc", iface = "veth*", direction = direction, priority = 50 },
  }
end
