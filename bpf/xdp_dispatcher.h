/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * XDP's dispatcher of libxdp's DISPATCHER_VERSION: CONSTANTS is its layout, CHAIN what all versions
 * have of it. libxdp wants it to be named xdp_dispatcher.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CONTEXT		struct xdp_md
#define FINISH		XDP_PASS
#define EMPTY_SLOT	XDP_DISPATCHER_RETURN
#define NO_CONTEXT	XDP_ABORTED
#define CHANGE_PACKET	bpf_xdp_adjust_tail
#define BIT_OF(VERDICT) (VERDICT)
#include "slots.h"

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	return run_slots(ctx);
}

/* How version 1 told its number, and where every libxdp still looks. */
__uint(dispatcher_version, DISPATCHER_VERSION) SEC("xdp_metadata");
