// SPDX-License-Identifier: MIT OR GPL-2.0
/* A member of a TC chain that counts its runs and returns what it is told to. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

volatile const __u32 VERDICT = TC_ACT_OK;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} runs SEC(".maps");

SEC("tc")
int verdict(struct __sk_buff *ctx)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&runs, &key);

	if (count)
		__sync_fetch_and_add(count, 1);
	return VERDICT;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
