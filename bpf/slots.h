/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A dispatcher's ten slots, which extension programs (freplace) take the place of, called in order.
 * Who includes this says before what it is for: CONTEXT, the type of what a program gets;
 * CONSTANTS, that of the layout, CHAIN, what all of them have of it, and FINISH, the verdict when
 * every member has proceeded; EMPTY_SLOT, what a slot without member returns; NO_CONTEXT, the
 * verdict for none; CHANGE_PACKET, a call that changes nothing; BIT_OF a verdict in a mask.
 * Names, verdicts and constants are what libxdp knows a dispatcher by: slots are prog0 to prog9.
 */
#include "dispatcher.h"

/* Read as variables here, known to the verifier: it removes the slots that are not in use. */
volatile const CONSTANTS conf = {};

/*
 * The verdict is volatile, or the compiler would know it in the caller too. The call says that a
 * slot may change packet data, without which newer kernels refuse members that do.
 */
#define SLOT(NAME)                                                                                 \
	__attribute__((noinline)) int NAME(CONTEXT *ctx)                                           \
	{                                                                                          \
		volatile int verdict = EMPTY_SLOT;                                                 \
                                                                                                   \
		if (!ctx)                                                                          \
			return NO_CONTEXT;                                                         \
		CHANGE_PACKET(ctx, 0);                                                             \
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
			return FINISH;                                                             \
		verdict = prog##NUMBER(ctx);                                                       \
		if (BIT_OF(verdict) > 31 || !(CHAIN.masks[NUMBER] >> BIT_OF(verdict) & 1))         \
			return verdict;                                                            \
	} while (0)

static __always_inline int run_slots(CONTEXT *ctx)
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
	return FINISH;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
