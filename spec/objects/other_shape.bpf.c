// SPDX-License-Identifier: MIT OR GPL-2.0
/* A map `runs` as in verdict_xdp.bpf.c, but of another shape: it cannot be shared with that. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} runs SEC(".maps");

SEC("xdp")
int other_shape(struct xdp_md *ctx)
{
	__u32 key = 1;
	__u32 *count = bpf_map_lookup_elem(&runs, &key);

	if (count)
		++*count;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
