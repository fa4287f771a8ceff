/*
 * Members for swaps under traffic: each of them counts the packet by its number. Included for XDP
 * and TC with CONTEXT, MEMBER and NEXT (what lets a packet pass on) set.
 */
#include "packet_number.h"

#define PACKETS 1048576

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} total SEC(".maps");

/* how often packet number N came: a byte each */
unsigned char seen[PACKETS];

SEC(MEMBER) int account(struct CONTEXT *ctx)
{
	long number = packet_number(ctx);
	__u32 key = 0;
	__u64 *sum = bpf_map_lookup_elem(&total, &key);

	if (number >= 0) {
		number &= PACKETS - 1;
		__sync_fetch_and_add((__u32 *)(seen + (number & ~3ul)), 1u << (number & 3) * 8);
		if (sum)
			__sync_fetch_and_add(sum, 1);
	}
	return NEXT;
}

SEC(MEMBER) int idle(struct CONTEXT *ctx)
{
	return NEXT;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} nowhere SEC(".maps");

/* has to be called */
SEC(MEMBER) int jump(struct CONTEXT *ctx)
{
	bpf_tail_call(ctx, &nowhere, 0);
	return NEXT;
}
