/* Child processes that are copies of this one and never run another program. */
#ifndef CORE_PROCESS_H
#define CORE_PROCESS_H

#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

/*
 * Forks. In the child (0 returned): it is killed when its parent's thread ends; no handler of the
 * parent's runs in it, and SIGINT, SIGTERM, SIGHUP and SIGPIPE are ignored, since what it does is
 * ended by its parent or not at all; and it has let go of every descriptor that is not in keep[].
 * So no socket, link or lock of the parent's lives longer for the child's sake.
 */
pid_t process_fork(const int *keep, size_t count);

/*
 * Lets go of every descriptor above 2 that is not in keep[]: it names /dev/null from now on, and
 * whoever believes in it may still close it. Returns 0 or -errno.
 */
int process_release(const int *keep, size_t count);

/* What ps and /proc/PID/comm call this process: at most 15 bytes, what is longer is cut. */
void process_set_name(const char *name);

/* Returns 1 and fills in how it ended, 0 if it still runs (never with block), -errno. One of
 * *code and *signal is -1. */
int process_wait(pid_t pid, int block, int *code, int *signal);

/* What this process may have of memory that is its own, until it says otherwise: allocations beyond
 * fail. -EOPNOTSUPP with sanitizers, which end the process then. */
int process_limit_data(rlim_t bytes, rlim_t *before);

#endif
