// SPDX-License-Identifier: MIT OR GPL-2.0
/* A map of daemon.bpf.c's name and shape, and one of its own beside it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} mine SEC(".maps");

SEC("xdp")
int count_twice(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *shared = bpf_map_lookup_elem(&hits, &key);
	__u64 *own = bpf_map_lookup_elem(&mine, &key);

	if (shared)
		__sync_fetch_and_add(shared, 1);
	if (own)
		__sync_fetch_and_add(own, 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
