// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* A dispatcher of a libxdp that nobody knows yet. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct config {
	__u8 magic;
	__u8 version;
	__u8 slots_used;
	__u8 unheard_of[253];
};

volatile const struct config conf = {.magic = 236, .version = 4};

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	return conf.slots_used ? XDP_ABORTED : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
__uint(dispatcher_version, 4) SEC("xdp_metadata");
