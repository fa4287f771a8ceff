// SPDX-License-Identifier: MIT OR GPL-2.0
/* The verifier refuses it: a packet is read without looking where it ends. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int rejected(struct xdp_md *ctx)
{
	return *(__u8 *)(long)ctx->data;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
