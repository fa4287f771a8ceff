/* What programs send through ring buffers and perf event arrays, one record at a time. */
#ifndef CORE_RING_H
#define CORE_RING_H

#include <stddef.h>
#include <linux/types.h>

struct ring;

struct ring_record {
	const void *bytes; /* the ring's, until the next call */
	size_t size;	   /* of a perf event array: rounded up by the kernel */
	int cpu;	   /* of a perf event array; else -1 */
};

/*
 * `pages`: memory for each CPU of a perf event array, a power of two; a ring buffer has its own.
 * Opening a perf event array takes the place of whoever else reads it, and wants CAP_PERFMON.
 * -EMEDIUMTYPE: a map of neither type.
 */
int ring__open(struct ring **ring, int map_fd, size_t pages);
/* 1 and the next record, which is gone from the map then; 0: none is there; -errno. */
int ring__next(struct ring *ring, struct ring_record *record);
/* Waits for one: 1, 0 when time is up, -EINTR. Milliseconds; -1: for ever. */
int ring__wait(struct ring *ring, int timeout);
/* Records that a perf event array had no room for, as far as it has been read. */
__u64 ring__lost(const struct ring *ring);
void ring__close(struct ring *ring);

#endif
