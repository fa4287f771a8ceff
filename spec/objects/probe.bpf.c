/* Programs for every place that one link attaches to: each adds its own STEP to its own count. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

volatile const __u32 ONLY_PID = 0; /* tracing: count this process alone; 0 counts all */
volatile const __u64 STEP = 1;
volatile const __s64 CALL = -1;    /* raw tracepoint sys_enter: count this system call alone */
volatile const __s32 VERDICT = TC_ACT_UNSPEC;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} events SEC(".maps");

static __always_inline void count(void)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&events, &key);

	if (value)
		__sync_fetch_and_add(value, STEP);
}

static __always_inline int count_process(void)
{
	if (!ONLY_PID || ONLY_PID == bpf_get_current_pid_tgid() >> 32)
		count();
	return 0;
}

SEC("tracepoint")
int on_tracepoint(void *ctx)
{
	return count_process();
}

SEC("raw_tracepoint")
int on_raw_tracepoint(struct bpf_raw_tracepoint_args *ctx)
{
	return CALL < 0 || ctx->args[1] == CALL ? count_process() : 0;
}

SEC("kprobe")
int on_kprobe(void *ctx)
{
	return count_process();
}

SEC("kretprobe")
int on_kretprobe(void *ctx)
{
	return count_process();
}

SEC("uprobe")
int on_uprobe(void *ctx)
{
	return count_process();
}

SEC("uretprobe")
int on_uretprobe(void *ctx)
{
	return count_process();
}

SEC("fentry")
int on_fentry(void *ctx)
{
	return count_process();
}

SEC("fexit")
int on_fexit(void *ctx)
{
	return count_process();
}

SEC("a_name_that_says_nothing")
int on_anything(void *ctx)
{
	return count_process();
}

SEC("tc")
int on_packet(struct __sk_buff *skb)
{
	count();
	return VERDICT;
}

SEC("xdp")
int on_frame(struct xdp_md *ctx)
{
	count();
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
