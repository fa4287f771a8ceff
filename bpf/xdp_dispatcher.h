/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * XDP's dispatcher of libxdp's DISPATCHER_VERSION: CONSTANTS is its layout, CHAIN what all versions
 * have of it. Ten slots that extension programs (freplace) take the place of, called in order.
 * Names, verdicts and constants are what libxdp knows a dispatcher by: the program is named
 * xdp_dispatcher, its slots prog0 to prog9.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "dispatcher.h"

/* Read as variables here, known to the verifier: it removes the slots that are not in use. */
volatile const CONSTANTS conf = {};

/*
 * The verdict is volatile, or the compiler would know it in the caller too. The call changes
 * nothing; it says that a slot may change packet data, without which newer kernels refuse members
 * that do.
 */
#define SLOT(NAME)                                                                                 \
	__attribute__((noinline)) int NAME(struct xdp_md *ctx)                                     \
	{                                                                                          \
		volatile int verdict = XDP_DISPATCHER_RETURN;                                      \
                                                                                                   \
		if (!ctx)                                                                          \
			return XDP_ABORTED;                                                        \
		bpf_xdp_adjust_tail(ctx, 0);                                                       \
		return verdict;                                                                    \
	}

SLOT(prog0)
SLOT(prog1)
SLOT(prog2)
SLOT(prog3)
SLOT(prog4)
SLOT(prog5)
SLOT(prog6)
SLOT(prog7)
SLOT(prog8)
SLOT(prog9)
SLOT(compat_test) /* never in use: where loaders try whether the kernel takes extensions */

#define RUN(NUMBER)                                                                                \
	do {                                                                                       \
		if (CHAIN.slots_used <= NUMBER)                                                    \
			return XDP_PASS;                                                           \
		verdict = prog##NUMBER(ctx);                                                       \
		if (verdict > 31 || !(CHAIN.masks[NUMBER] >> verdict & 1))                         \
			return verdict;                                                            \
	} while (0)

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	__u32 verdict;

	RUN(0);
	RUN(1);
	RUN(2);
	RUN(3);
	RUN(4);
	RUN(5);
	RUN(6);
	RUN(7);
	RUN(8);
	RUN(9);
	if (CHAIN.slots_used > DISPATCHER_SLOTS)
		return compat_test(ctx);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
/* How version 1 told its number, and where every libxdp still looks. */
__uint(dispatcher_version, DISPATCHER_VERSION) SEC("xdp_metadata");
