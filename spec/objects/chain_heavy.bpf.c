#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Some 250,000 verified instructions: four make the kernel's million. */
SEC("xdp") int heavy(struct xdp_md *ctx)
{
	volatile long sum = 0;

	for (int i = 0; i < 41000; i++)
		sum += i;
	return sum ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
