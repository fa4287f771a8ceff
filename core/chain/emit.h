/* Writes the instructions of one segment. */
#ifndef CORE_CHAIN_EMIT_H
#define CORE_CHAIN_EMIT_H

#include "core/chain/chain.h"
#include "core/chain/plan.h"

/* Where packets are counted: see counters.h. */
struct counter_layout {
	int fd;
	__u32 row_size; /* bytes */
	__u32 cpu_cnt;
};

struct emitted_function {
	__u32 insn_off;
	__u32 member;	/* of the chain */
	__u32 function; /* of the member; 0 is the entry of a called one */
};

/* Instructions [start, end) are member's; what is in no span is ours. */
struct emitted_span {
	__u32 start;
	__u32 end;
	__u32 member;
};

struct segment_code {
	struct bpf_insn *insns;
	__u32 insn_cnt;
	__u32 insn_room;
	struct emitted_function *functions; /* ascending; the main function is not in it */
	__u32 function_cnt;
	struct emitted_span *spans;
	__u32 span_cnt;
};

/*
 * `next_fd` is the program array with the next segment in it, not used if the plan is the last one.
 * Returns 0, -ENOMEM, or -E2BIG when a jump cannot reach. Release in any case.
 */
int emit__segment(const struct chain *chain, const struct segment_plan *plan,
		  const struct counter_layout *counters, int next_fd, struct segment_code *code);

void segment_code__release(struct segment_code *code);

#endif
