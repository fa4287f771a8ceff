// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Counts packets and bytes on XDP. Two of them can count into one map:
 *
 *   bpfctl load-from-file --path go-xdp-counter/bpf_bpfel.o -n xdp_stats \
 *       xdp --iface eth0 --priority 100
 *   bpfctl load-from-file --path go-xdp-counter/bpf_bpfel.o -n xdp_stats --map-owner-id ID \
 *       xdp --iface eth1 --priority 100
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct datarec {
	__u64 rx_packets;
	__u64 rx_bytes;
};

/*
 * One value per CPU and verdict, so that counting needs no lock: readers add them up.
 * LIBBPF_PIN_BY_NAME is taken, not needed: bpfd pins every map under fs/maps/ID, and shares only by
 * --map-owner-id.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, XDP_REDIRECT + 1);
	__type(key, __u32);
	__type(value, struct datarec);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} xdp_stats_map SEC(".maps");

SEC("xdp")
int xdp_stats(struct xdp_md *ctx)
{
	__u32 verdict = XDP_PASS;
	struct datarec *seen = bpf_map_lookup_elem(&xdp_stats_map, &verdict);

	if (!seen)
		return XDP_ABORTED;
	seen->rx_packets++;
	seen->rx_bytes += ctx->data_end - ctx->data;
	return verdict;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
