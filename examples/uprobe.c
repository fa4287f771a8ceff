// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * A histogram of what processes ask malloc for, and how often it refuses.
 *
 *   bpfctl load-from-file -p uprobe.o -n requested uprobe -f malloc -t libc
 *   bpfctl load-from-file -p uprobe.o -n refused uprobe -f malloc -t libc -r --pid 1234
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define BUCKETS 64

/* Bucket N holds the requests of 2^N to 2^(N+1) - 1 bytes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BUCKETS);
	__type(key, __u32);
	__type(value, __u64);
} sizes SEC(".maps");

__u64 refusals = 0;

SEC("uprobe")
int requested(struct pt_regs *ctx)
{
	__u64 size = PT_REGS_PARM1(ctx), *count;
	__u32 bucket = 0;

	for (int step = 32; step; step /= 2) {
		if (size >> step) {
			size >>= step;
			bucket += step;
		}
	}
	count = bpf_map_lookup_elem(&sizes, &bucket);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

SEC("uretprobe")
int refused(struct pt_regs *ctx)
{
	if (!PT_REGS_RC(ctx))
		__sync_fetch_and_add(&refusals, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
