// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Counts calls of a kernel function, and its returns.
 *
 *   bpfctl load-from-file -p kprobe.o -n calls kprobe -f try_to_wake_up
 *   bpfctl load-from-file -p kprobe.o -n returns kprobe -f try_to_wake_up -r
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum { CALLS, RETURNS, COUNTERS };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline int count(__u32 which)
{
	__u64 *counter = bpf_map_lookup_elem(&counts, &which);

	if (counter)
		++*counter;
	return 0;
}

/* The section says only what kind of program this is; where it goes is the command's matter. */
SEC("kprobe")
int calls(void *ctx)
{
	return count(CALLS);
}

SEC("kretprobe")
int returns(void *ctx)
{
	return count(RETURNS);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
