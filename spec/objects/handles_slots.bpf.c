/* A program array that the object fills by itself, with a sibling whose section tells no type. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int second(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} jumps SEC(".maps") = {.values = {[1] = (void *)&second}};

SEC("old_name_of_first")
int first(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, 1);
	return XDP_ABORTED;
}

SEC("old_name_of_second")
int second(struct xdp_md *ctx)
{
	return XDP_TX;
}

SEC("kprobe/unrelated")
int bystander(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
