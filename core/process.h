/* Child processes that are copies of this one and never run another program. */
#ifndef CORE_PROCESS_H
#define CORE_PROCESS_H

#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

/*
 * Forks. In the child (0 returned): it is killed when its parent's thread ends; no handler of the
 * parent's runs in it, and SIGINT, SIGTERM, SIGHUP and SIGPIPE are ignored, since what it does is
 * ended by its parent or not at all; and every descriptor above 2 that is not in keep[] now names
 * /dev/null. So numbers that the parent's objects still believe in are harmless, and no socket,
 * link or lock of the parent's lives longer for the child's sake.
 */
pid_t process_fork(const int *keep, size_t count);

/* Returns 1 and fills in how it ended, 0 if it still runs (never with block), -errno. One of
 * *code and *signal is -1. */
int process_wait(pid_t pid, int block, int *code, int *signal);

/* What this process may have of memory that is its own, until it says otherwise: allocations beyond
 * fail. -EOPNOTSUPP with sanitizers, which end the process then. */
int process_limit_data(rlim_t bytes, rlim_t *before);

#endif
