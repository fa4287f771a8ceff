/* An XDP member that a chain has to refuse. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern void bpf_throw(__u64 cookie) __ksym;

SEC("xdp") int throw(struct xdp_md * ctx)
{
	if (ctx->data_end - ctx->data > 9000)
		bpf_throw(1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
