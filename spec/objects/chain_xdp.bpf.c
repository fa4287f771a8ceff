#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CONTEXT xdp_md
#define MEMBER	"xdp"
#include "chain_members.h"

SEC("xdp") long head(struct xdp_md *ctx)
{
	RUN();
	if (bpf_xdp_adjust_head(ctx, -8) || bpf_xdp_adjust_head(ctx, 8))
		return 77;
	return chosen;
}

SEC("xdp") long tail(struct xdp_md *ctx)
{
	RUN();
	if (bpf_xdp_adjust_tail(ctx, -4) || bpf_xdp_adjust_tail(ctx, 4))
		return 77;
	return chosen;
}

SEC("xdp.frags") long frags(struct xdp_md *ctx)
{
	RUN();
	return chosen;
}

SEC("xdp.frags") long frags_target(struct xdp_md *ctx)
{
	return target_chosen;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, long(struct xdp_md *));
} frags_jumps SEC(".maps") = {.values = {[0] = (void *)&frags_target}};

SEC("xdp.frags") long frags_tail(struct xdp_md *ctx)
{
	RUN();
	bpf_tail_call(ctx, &frags_jumps, 0);
	return 77;
}

SEC("xdp/devmap") long for_devmap(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
