/* Word from the kernel of interfaces that come, change and go, in one network namespace. */
#ifndef CORE_INTERFACE_WATCH_H
#define CORE_INTERFACE_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/network.h"

#define INTERFACE_CHANGES_MAX 64

/* What the interface is now or, when it is gone, was last. */
struct interface_change {
	struct interface interface;
	bool is_gone; /* deleted, or moved to another namespace */
};

/* A socket, non-blocking, of the calling thread's namespace: from now on nothing is missed. */
int interface_watch__open(int *fd);

/*
 * The changes of one message, at most INTERFACE_CHANGES_MAX. -EAGAIN: there is none now. -ENOBUFS:
 * there were more than could be kept for us; only a new list of all interfaces tells what is.
 */
int interface_watch__read(int fd, struct interface_change *changes, size_t *count);

#endif
