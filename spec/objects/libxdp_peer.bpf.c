// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* What xdp-loader loads beside bpfd's members; `xdp-loader -p` pins the counter. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} hits SEC(".maps");

static __always_inline int count(int verdict)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return verdict;
}

SEC("xdp")
int peer_pass(struct xdp_md *ctx)
{
	return count(XDP_PASS);
}

SEC("xdp")
int peer_drop(struct xdp_md *ctx)
{
	return count(XDP_DROP);
}

SEC("xdp.frags")
int peer_with_a_name_of_many_letters(struct xdp_md *ctx)
{
	return count(XDP_PASS);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
