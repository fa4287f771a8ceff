/* The fuse engine: one program made of all members, or a few that tail-call each other. */
#ifndef CORE_CHAIN_FUSE_H
#define CORE_CHAIN_FUSE_H

#include "core/chain/chain.h"

struct fused_segment {
	__u32 first; /* member */
	__u32 count;
	int program_fd;
	int next_fd; /* one-slot program array with the next segment; -1 in the last */
};

struct fused_chain {
	struct fused_segment *segments; /* [0] is what the hook runs */
	__u32 segment_cnt;
	int counters_fd;
};

/*
 * Fuses and loads. `chain` has passed chain__check(); its members' `called` tells afterwards how
 * they were built in. Segments need their program arrays to have a user (a descriptor here, or a
 * pin) for as long as the chain runs: the kernel empties them otherwise. Returns 0 or -errno with
 * the failure set; then nothing is left behind.
 */
int fuse__build(struct chain *chain, struct fused_chain *fused, struct diagnostic *failure);

/* Pins what a running chain needs besides its link: DIRECTORY/counters, DIRECTORY/segment-2 ...
 * Returns 0 or -errno. */
int fuse__pin(const struct fused_chain *fused, const char *directory);

void fuse__release(struct fused_chain *fused);

#endif
