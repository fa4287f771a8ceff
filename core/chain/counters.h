/*
 * Stop counters: per packet one increment, at the position where the chain stopped. That is enough
 * to know how often each member ran (it did whenever the chain stopped at it or behind it), and
 * costs the same however long the chain is.
 *
 * One array map with one value: rows of u64, row 0 holding the number of positions in its first
 * word, then one row per possible CPU. Positions are the members, then "all proceeded", then "the
 * next segment could not be entered". Not a per-CPU map because a program can address this one
 * directly, without a lookup and so without a key on its stack.
 */
#ifndef CORE_CHAIN_COUNTERS_H
#define CORE_CHAIN_COUNTERS_H

#include <linux/bpf.h>

#include "core/chain/emit.h"

#define COUNTERS_MAX_POSITIONS (CHAIN_MAX_MEMBERS + 2)

/* Room for so many positions; layout->fd is the caller's to close. Returns 0 or -errno. */
int counters__create(__u32 position_cnt, struct counter_layout *layout);

/*
 * Sums over CPUs; `positions` has room for COUNTERS_MAX_POSITIONS. Returns how many there are,
 * -errno, or -EINVAL for a map of another kind.
 */
int counters__read(int fd, __u64 *positions);

#endif
