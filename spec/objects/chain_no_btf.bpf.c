/* Compiled without -g: no BTF, so no types of functions. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

__u64 runs;

static __attribute__((noinline)) int inner(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data > 20 ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp") int bare(struct xdp_md *ctx)
{
	__sync_fetch_and_add(&runs, 1);
	return inner(ctx);
}

char LICENSE[] SEC("license") = "GPL";
