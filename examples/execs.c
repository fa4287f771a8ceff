// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * Tells of every program that is started, through a ring buffer. execs.lua prints it:
 *
 *   bpfctl load-from-file -p execs.o -n executed tracepoint -t sched/sched_process_exec
 *   lua5.4 execs.lua ID        or        bpfctl map watch ID events --type exec
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct exec {
	__u32 pid, uid;
	char comm[16];
};

/* Nothing but this puts the type of the records into BTF. */
const struct exec *exec_type __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

/* The ring buffer was full so often. */
__u64 lost;

SEC("tracepoint/sched/sched_process_exec")
int executed(void *ctx)
{
	struct exec *exec = bpf_ringbuf_reserve(&events, sizeof(*exec), 0);

	if (!exec) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	exec->pid = bpf_get_current_pid_tgid() >> 32;
	exec->uid = (__u32)bpf_get_current_uid_gid();
	bpf_get_current_comm(exec->comm, sizeof(exec->comm));
	bpf_ringbuf_submit(exec, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
