// SPDX-License-Identifier: MIT OR GPL-2.0
/* The cheapest member there is: what a chain of it costs is the chain's own cost. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int return_only(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
