// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* A dispatcher of version 2 that says that it has an eleventh slot. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct config {
	__u8 magic;
	__u8 version;
	__u8 slots_used;
	__u8 slots[121];
};

volatile const struct config conf = {.magic = 236, .version = 2, .slots_used = 11};

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	return conf.slots_used ? XDP_ABORTED : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
__uint(dispatcher_version, 2) SEC("xdp_metadata");
