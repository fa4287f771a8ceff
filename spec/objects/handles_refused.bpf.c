/* What kernels and libbpf refuse, each in its own way; and one that they accept. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int out_of_bounds(struct xdp_md *ctx)
{
	return *(volatile char *)(long)ctx->data;
}

SEC("fentry/bpf_fentry_test1")
int entered(void *ctx)
{
	return 0;
}

SEC("xdp/devmap")
int behind_redirect(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp.frags")
int fragments(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
