// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Counts how often each process opens a file.
 *
 *   bpfctl load-from-file -p sys_enter_openat.o -n sys_enter_openat \
 *       tracepoint -t syscalls/sys_enter_openat
 *   bpfctl load-from-file -p sys_enter_openat.o -n sys_enter_openat -g ONLY_PID=u32:1234 \
 *       tracepoint -t syscalls/sys_enter_openat
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Count this process alone; 0 counts all. */
volatile const __u32 ONLY_PID = 0;

/* Process id -> files opened. LRU: the processes that opened last push out the oldest. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} opened SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int sys_enter_openat(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 one = 1, *count;

	if (ONLY_PID && pid != ONLY_PID)
		return 0;
	count = bpf_map_lookup_elem(&opened, &pid);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&opened, &pid, &one, BPF_NOEXIST);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
