/* An XDP program with a map, globals in every section, and a subprogram with a stack of its own. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 LIMIT = 7;
__u64 seen = 1;
__u16 scratch[4];
const volatile __u32 TUNED SEC(".rodata.tuned") = 5;

struct key {
	__u32 source;
};

struct tally {
	__u64 packets;
	__s32 balance;
	__u8 low : 3, high : 5;
	struct {
		__u8 mac[6];
	} last;
	union {
		__u32 whole;
		__u16 halves[2];
	};
	enum verdict { VERDICT_NO, VERDICT_YES } verdict;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct key);
	__type(value, struct tally);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} tallies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u32);
} per_cpu SEC(".maps");

static __noinline int look(struct xdp_md *ctx)
{
	volatile char bytes[64] = {};

	bytes[ctx->rx_queue_index & 63] = 1;
	return bytes[3];
}

SEC("xdp/whatever")
int count(struct xdp_md *ctx)
{
	struct key key = {.source = TUNED};
	struct tally *tally = bpf_map_lookup_elem(&tallies, &key);
	__u32 zero = 0, *mine = bpf_map_lookup_elem(&per_cpu, &zero);

	seen++;
	scratch[1] = 9;
	if (mine)
		(*mine)++;
	if (tally)
		tally->packets++;
	return look(ctx) + (LIMIT > 10 ? XDP_PASS : XDP_DROP);
}

SEC("classifier/accept")
int accept(struct __sk_buff *skb)
{
	return skb->len > LIMIT ? 0 : 2;
}

SEC("somebody_elses_name")
int odd(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("kprobe/try_to_wake_up")
int probe(void *ctx)
{
	__sync_fetch_and_add(&seen, 1);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int trace(void *ctx)
{
	__sync_fetch_and_add(&seen, 1);
	return 0;
}

SEC("raw_tp/sched_switch")
int raw(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
