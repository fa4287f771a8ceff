// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Named as libxdp's dispatchers are, and nothing else of one. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
