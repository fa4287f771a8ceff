/* XDP members that a chain has to refuse, or that are heavy to verify. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern void bpf_throw(__u64 cookie) __ksym;

SEC("xdp") int throw(struct xdp_md * ctx)
{
	if (ctx->data_end - ctx->data > 9000)
		bpf_throw(1);
	return XDP_PASS;
}

/* Some 250,000 verified instructions: four make the kernel's million. */
SEC("xdp") int heavy(struct xdp_md *ctx)
{
	volatile long sum = 0;

	for (int i = 0; i < 41000; i++)
		sum += i;
	return sum ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
