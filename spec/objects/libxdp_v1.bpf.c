// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* What libxdp 1.0 to 1.2 would have put on an interface, as far as others can see. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct config {
	__u8 slots_used;
	__u32 masks[10];
	__u32 priorities[10];
};

volatile const struct config conf = {};

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	return conf.slots_used ? XDP_ABORTED : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
__uint(dispatcher_version, 1) SEC("xdp_metadata");
