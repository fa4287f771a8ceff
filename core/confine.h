/* A process that runs what others have written gives up all that it does not need for that. */
#ifndef CORE_CONFINE_H
#define CORE_CONFINE_H

#include <stddef.h>

/*
 * From now on, for good: no capabilities, no new privileges, and no system calls but those that
 * memory, an open socket, a timer and the end of the process need; any other fails with EPERM. 0 or
 * -errno; after an error the process must not go on. (A build with sanitizers keeps the system
 * calls: they need more of them.)
 */
int confine_process(void);

/*
 * Ends the process with exit status CONFINE_ENDED + SIGPROF once it has run that long from now on,
 * in whatever loop or library call it is; 0 milliseconds: no longer. It does the same with the
 * signal's number where the process crashes. The last words (at most 256 bytes, copied) are written
 * to the descriptor before that.
 */
#define CONFINE_ENDED 128
int confine_watch(unsigned int milliseconds, int fd, const void *words, size_t size);

#endif
