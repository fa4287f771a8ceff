/* Decides how much of a chain one program takes, which of its members are inlined, and where the
 * context is kept. */
#ifndef CORE_CHAIN_PLAN_H
#define CORE_CHAIN_PLAN_H

#include "core/chain/chain.h"

struct segment_plan {
	__u32 first; /* member */
	__u32 count;
	bool last;
	/*
	 * Where the context waits while bodies run: so many bytes below the frame pointer, or 0 for
	 * register r6. Bodies that are inlined use all registers, called ones leave r6 alone.
	 */
	__u32 context_slot;
};

/*
 * Plans the segment that starts at `first` and has at most `limit` members; sets `called` of those.
 * A single member is always planned, whatever it needs: then the kernel judges.
 */
void plan__segment(struct chain *chain, __u32 first, __u32 limit, struct segment_plan *plan);

#endif
