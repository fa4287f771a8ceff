/* Counts what the children of one process ask of bpf(2), by command. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int tgid;
	struct task_struct *real_parent;
} __attribute__((preserve_access_index));

struct entry {
	__u64 common;
	__s64 number;
	__u64 command;
};

volatile const __s32 PARENT = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_bpf")
int count_calls(struct entry *entry)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 command = (__u32)entry->command;
	__u64 *value;

	if (BPF_CORE_READ(task, real_parent, tgid) != PARENT)
		return 0;
	value = bpf_map_lookup_elem(&calls, &command);
	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
