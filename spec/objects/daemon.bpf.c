/* What the daemon's specs load: members that count, and programs that are refused or take long. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

volatile const __u32 VERDICT = 2;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME); /* must not be taken at its word */
} hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u64);
	__type(value, __u64);
} other SEC(".maps");

static __always_inline int count(void)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return VERDICT;
}

SEC("xdp")
int count_xdp(struct xdp_md *ctx)
{
	__u64 key = 0;

	bpf_map_lookup_elem(&other, &key);
	return count();
}

SEC("tc")
int count_tc(struct __sk_buff *skb)
{
	return count();
}

SEC("tracepoint/syscalls/sys_enter_getpgid")
int count_call(void *ctx)
{
	count();
	return 0;
}

SEC("xdp")
int out_of_bounds(struct xdp_md *ctx)
{
	return *(char *)(long)ctx->data;
}

/* Hundreds of thousands of instructions to walk, one after the other. */
SEC("xdp")
int takes_long(struct xdp_md *ctx)
{
	__u64 sum = 0;

	for (int i = 0; i < 90000; i++)
		sum += bpf_get_prandom_u32() & 1;
	return sum > 1 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
